"""Reads an image file into 8-bit RGB and a mask file into zeros and ones.

Against anomalib's reader, 16-bit images are scaled from their full range instead of clipped, and the EXIF
orientation is applied. Plain 8-bit grey and RGB files give the same values.
"""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from extensions.data.reading.arrays import NPY, TIFF, read_array, viewable
from extensions.data.reading.marking import Marking, read_marks
from extensions.data.reading.plain_files import plain_pixels
from extensions.data.reading.stored import (
    ORIENTATION,
    Stored,
    is_deep_planar,
    is_white_at_zero,
    low_value,
    n_pages,
    sixteen_bits,
)

# .jfif and .jpe are JPEG under other names: Windows and some browsers save images so.
IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
_MAX_16_BIT = 65535
_LOSSY = {"JPEG", "MPO"}  # Pillow's names of formats


def read_image(path: str | Path) -> np.ndarray:
    """Read an image as (H, W, 3) uint8 RGB, the way round a viewer shows it.

    - 16-bit grey: the full range 0..65535 becomes 0..255, whatever part of it the camera used.
    - Floating point: values must lie in [0, 1].
    - Transparency (also of palettes): the image is laid over black, so colors hidden below it cannot leak in.
    - 16-bit color: the higher byte of each color.
    - TIFFs that say that 0 is white: inverted, as they are shown.
    - CMYK, palette, one-bit: converted by Pillow. Of a file with several pages the first is read.
    - TIFF of other channels, NPY: to look at only, see `extensions.data.reading.arrays.viewable`.

    Raises:
        ValueError: the file cannot be decoded, or holds numbers whose range is not known; the file is named.
        FileNotFoundError: no such file.
    """
    return read_stored(path)[0]


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask as (H, W) uint8: 1 where any channel is not zero (defect), else 0; transparent counts as zero.

    Grey values of JPEG masks and of soft edges are cut at half of their range, see `extensions.data.reading.marking`.

    Raises:
        ValueError: the file cannot be decoded; it is named.
        FileNotFoundError: no such file.
    """
    try:
        return mask_array(open_upright(Path(path).read_bytes()))
    except FileNotFoundError:
        raise
    except Exception as error:  # as in read_stored
        msg = f"cannot read the mask {path}: {reason(error)}"
        raise ValueError(msg) from error


def read_stored(path: str | Path) -> tuple[np.ndarray, Stored]:
    """As `read_image`, with what is to be told of the file."""
    try:
        return decoded(Path(path).read_bytes())
    except FileNotFoundError:
        raise
    except Exception as error:  # Pillow raises many types for broken files, most without the file's name
        msg = f"cannot read the image {path}: {reason(error)}"
        raise ValueError(msg) from error


def decoded(content: bytes) -> tuple[np.ndarray, Stored]:
    """As `read_stored`, of a file's bytes; errors do not name it."""
    if content and (plain := plain_pixels(content)) is not None:
        import cv2

        pixels, _, pages = plain
        return (pixels if pixels.ndim == 3 else cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)), Stored(pages=pages)
    image, stored = open_stored(content)
    return image_array(image), stored


def open_upright(content: bytes) -> Image.Image:
    """Decode a whole image file and apply its EXIF orientation."""
    return open_stored(content)[0]


def open_stored(content: bytes) -> tuple[Image.Image, Stored]:
    """As `open_upright`, with what is to be told of the file."""
    if not content:
        msg = "the file is empty (0 bytes)"
        raise ValueError(msg)
    if (plain := plain_pixels(content)) is not None:
        pixels, kind, pages = plain
        image = Image.fromarray(pixels)
        image.format = kind
        return image, Stored(pages=pages)
    try:
        image = Image.open(BytesIO(content))
    except Image.UnidentifiedImageError:
        if not content.startswith((*TIFF, NPY)):
            raise
        return _many_channels(content)
    pages = n_pages(image)
    image.load()
    stored = Stored(low_value(image, content), pages)
    shown: Image.Image = image
    if is_deep_planar(image):
        shown = Image.fromarray((sixteen_bits(content) >> 8).astype(np.uint8))
    elif is_white_at_zero(image):
        shown = Image.fromarray((1 if image.mode == "F" else _MAX_16_BIT) - np.asarray(image))
    if (orientation := image.getexif().get(ORIENTATION, 1)) != 1:
        shown.getexif()[ORIENTATION] = orientation
        shown = ImageOps.exif_transpose(shown)
    shown.format = image.format
    return shown, stored


def _many_channels(content: bytes) -> tuple[Image.Image, Stored]:
    """What Pillow does not open, to look at: a TIFF of other channels or bits, or an NPY file."""
    is_tiff, cause, pixels = content.startswith(TIFF), None, None
    try:
        pixels = read_array(content)
    except Exception as error:  # imagecodecs has its own
        if not is_tiff:
            raise
        cause = error
    if pixels is None or (is_tiff and pixels.shape[2] in (1, 3)):  # grey or color of bits that Pillow does not know
        msg = "a TIFF of bits or channels that are not known here; save it as 8 or 16 bits, grey or RGB"
        raise ValueError(msg) from cause
    return Image.fromarray(viewable(pixels)), Stored(channels=pixels.shape[2])


def image_array(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a decoded image; the rules are those of `read_image`."""
    if image.mode.startswith("I"):
        grey = _from_16_bit(np.asarray(image))
        return np.repeat(grey[..., None], 3, axis=2)  # (H, W, 3)
    if image.mode == "F":
        grey = _from_unit_range(np.asarray(image))
        return np.repeat(grey[..., None], 3, axis=2)  # (H, W, 3)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, (0, 0, 0, 255)), layer)
    return np.array(image.convert("RGB"))


def mask_array(image: Image.Image) -> np.ndarray:
    """(H, W) uint8 zeros and ones of a decoded mask; the rules are those of `read_mask`."""
    return marking_of(image).marks


def marking_of(image: Image.Image) -> Marking:
    """What a decoded mask marks, and what it looks like."""
    if image.mode in {"1", "L", "F"} or image.mode.startswith("I"):
        values = np.asarray(image)
    else:
        values = image_array(image).max(axis=2)
    is_jpeg = image.format in _LOSSY or image.info.get("compression") == "jpeg"  # the latter inside of a TIFF
    return read_marks(values, is_jpeg=is_jpeg)


def reason(error: Exception) -> str:
    """Why a file could not be decoded, in words without the file's name."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image in any known format"
    text = str(error) or type(error).__name__
    return "truncated" if "truncated" in text.lower() else text


def _from_16_bit(values: np.ndarray) -> np.ndarray:
    if values.size and (values.min() < 0 or values.max() > _MAX_16_BIT):
        msg = f"32-bit values from {values.min()} to {values.max()}; expected 0 to {_MAX_16_BIT}: save it as 16 bit"
        raise ValueError(msg)
    scaled: np.ndarray = np.rint(values.astype(np.float32) * (255 / _MAX_16_BIT))
    return scaled.astype(np.uint8)


def _from_unit_range(values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        msg = f"floating point values from {values.min():g} to {values.max():g}; expected 0 to 1: rescale it"
        raise ValueError(msg)
    return np.rint(values * 255).astype(np.uint8)
