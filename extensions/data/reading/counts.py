"""Reads an image file without loss: the numbers of its channels as they are stored."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from extensions.data.reading.arrays import TIFF, is_array, read_array, upright
from extensions.data.reading.image_files import image_array, open_stored, reason
from extensions.data.reading.stored import ORIENTATION, sixteen_bits

_PNG = b"\x89PNG\r\n\x1a\n"
_WHOLE = 65535  # largest of 16 bits


def read_counts(path: str | Path, *, pages: bool = False) -> np.ndarray:
    """The values of an image as its file holds them, the way round a viewer shows it.

    Grey gives one channel, color three; what is transparent is laid over black; TIFFs that say that 0 is white are
    inverted, all as in `extensions.data.reading.image_files.read_image`.

    Args:
        path: Any image file, or NPY of (height, width) or (height, width, channels).
        pages: Whether all of a TIFF is one image: its pages, and whatever channels these have.

    Returns:
        (H, W, C) uint8, uint16 or float32.

    Raises:
        ValueError: The file cannot be decoded; it is named.
        FileNotFoundError: No such file.
    """
    try:
        return counts_of(Path(path).read_bytes(), pages=pages)
    except FileNotFoundError:
        raise
    except Exception as error:  # Pillow raises many types for broken files
        msg = f"cannot read the image {path}: {reason(error)}"
        raise ValueError(msg) from error


def counts_of(content: bytes, *, pages: bool = False) -> np.ndarray:
    """As `read_counts`, of a file's bytes; errors do not name it."""
    if is_array(content) and (pages or not content.startswith(TIFF)):
        return read_array(content, pages=pages)
    if (deep := _deep_color(content)) is not None:
        return deep
    try:
        image, stored = open_stored(content)
    except ValueError:
        if not is_array(content):
            raise
        return read_array(content)  # of bits that Pillow does not know
    if stored.channels:
        return read_array(content)
    if image.mode.startswith("I"):
        grey = np.asarray(image)
        if grey.size and (grey.min() < 0 or grey.max() > _WHOLE):
            image_array(image)  # says so
        return grey.astype(np.uint16)[..., None]  # (H, W, 1)
    if image.mode == "F":
        return np.array(image, np.float32)[..., None]  # (H, W, 1)
    pixels = image_array(image)
    return pixels[..., :1] if image.mode in ("1", "L") else pixels


def to_8_bits(values: np.ndarray) -> np.ndarray:
    """(H, W, C) as uint8: 16 bits by their full range, floating point from [0, 1].

    Raises:
        ValueError: Floating point values outside of [0, 1].
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.uint16:
        return np.rint(values.astype(np.float32) * (255 / _WHOLE)).astype(np.uint8)
    if values.size and (values.min() < 0 or values.max() > 1):
        msg = (
            f"floating point values from {values.min():g} to {values.max():g}; expected 0 to 1: name their range by "
            "the argument range of the data set"
        )
        raise ValueError(msg)
    return np.rint(values * 255).astype(np.uint8)


def _deep_color(content: bytes) -> np.ndarray | None:
    """(H, W, 3) uint16 of a PNG or TIFF of 16-bit color; None of any other file."""
    if content.startswith(_PNG):
        if content[24:26] not in (b"\x10\x02", b"\x10\x06"):  # bit depth and kind of color: RGB or RGBA of 16 bits
            return None
    elif not content.startswith(TIFF) or not _is_deep_tiff(content):
        return None
    with Image.open(BytesIO(content)) as image:
        image.load()
        orientation = image.getexif().get(ORIENTATION, 1)
    pixels = sixteen_bits(content)
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:].astype(np.float64) / _WHOLE
        pixels = np.rint(pixels[..., :3] * alpha).astype(np.uint16)
    return upright(pixels, orientation)


def _is_deep_tiff(content: bytes) -> bool:
    from PIL import UnidentifiedImageError

    try:
        with Image.open(BytesIO(content)) as image:
            tags = getattr(image, "tag_v2", {})
            bits, photometric = tags.get(258), tags.get(262)
            return isinstance(bits, tuple) and set(bits) == {16} and len(bits) in (3, 4) and photometric == 2
    except UnidentifiedImageError:
        return False
