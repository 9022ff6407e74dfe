"""Files of numbers in any number of channels that Pillow does not open: TIFF and NPY, and pages of a TIFF."""

from __future__ import annotations

import math
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2

NPY = b"\x93NUMPY"
TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")  # the latter two of more than 4 GB
ARRAY_EXTENSIONS = (".npy",)
_WIDTH, _HEIGHT = 256, 257  # TIFF tags, as those that follow
_SUBFILE, _PHOTOMETRIC, _SAMPLES, _ORIENTATION, _PLANES = 254, 262, 277, 274, 284
_WHOLE = 65535  # largest of 16 bits


def is_array(content: bytes) -> bool:
    """Whether a file is one of those that are read here."""
    return content.startswith((NPY, *TIFF))


def read_array(content: bytes, *, pages: bool = False) -> np.ndarray:
    """All channels of a TIFF or NPY file.

    Args:
        content: The file's bytes.
        pages: Whether the pages of a TIFF are channels of one image; else its first page is read. Previews in reduced
            size are no pages.

    Returns:
        (H, W, C) uint8, uint16 or float32, as stored and as a viewer shows them.

    Raises:
        ValueError: Pages of several sizes, NPY of objects, of other numbers or of another shape.
    """
    if content.startswith(NPY):
        return _numbers(_npy(content))
    found = list(_pages(content, first=not pages))
    if len(shapes := {page.shape[:2] for page in found}) > 1:
        told = ", ".join(f"{width} x {height} px" for height, width in sorted(shapes))
        msg = f"its pages are of several sizes ({told}); expected channels of one size"
        raise ValueError(msg)
    return np.concatenate([_numbers(page) for page in found], axis=2)


def n_values(content: bytes) -> int:
    """How many numbers a TIFF or NPY file says that it holds, in all of its pages and channels."""
    if content.startswith(NPY):
        file = BytesIO(content)
        of = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        header = of.get(np.lib.format.read_magic(file))
        if header is None:
            msg = "it is NPY of a version that is not known here; save it by numpy.save"
            raise ValueError(msg)
        return math.prod(header(file)[0])
    return sum(tags.get(_WIDTH, 0) * tags.get(_HEIGHT, 0) * tags.get(_SAMPLES, 1) for tags in _directories(content))


def viewable(pixels: np.ndarray) -> np.ndarray:
    """(H, W, C) of any kind of numbers -> (H, W, 3) uint8 to look at: the first three channels, the mean of fewer.

    What is not of 8 bits is stretched from its least to its largest value.
    """
    shown = pixels[..., :3] if pixels.shape[2] >= 3 else pixels.mean(axis=2, keepdims=True, dtype=np.float32)
    if pixels.dtype != np.uint8:
        shown = shown.astype(np.float32)
        low, high = float(shown.min()), float(shown.max())
        shown = (shown - low) * (255 / (high - low) if high > low else 0)
    return np.ascontiguousarray(np.broadcast_to(np.rint(shown).astype(np.uint8), (*pixels.shape[:2], 3)))


def _npy(content: bytes) -> np.ndarray:
    try:
        array: np.ndarray = np.load(BytesIO(content), allow_pickle=False)
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        msg = "it holds pickled objects, which are not loaded, for they may run programs; expected an array of numbers"
        raise ValueError(msg) from error
    if array.ndim == 2:
        return array[..., None]  # (H, W, 1)
    if array.ndim != 3 or not array.size:
        msg = f"its array is of shape {array.shape}; expected (height, width, channels)"
        raise ValueError(msg)
    return array


def _numbers(array: np.ndarray) -> np.ndarray:
    """As uint8, uint16 or float32; ValueError for numbers that are none of these."""
    if array.dtype in (np.uint8, np.uint16):
        return array
    if array.dtype.kind == "f":
        values = array.astype(np.float32)
        if not np.isfinite(values).all():
            msg = "it holds NaN or infinite values; expected numbers: put one in the place of what was not measured"
            raise ValueError(msg)
        return values
    if array.dtype.kind in "iu" and (not array.size or (array.min() >= 0 and array.max() <= _WHOLE)):
        return array.astype(np.uint16)
    msg = (
        f"it holds {array.dtype} numbers"
        + (f" from {array.min()} to {array.max()}" if array.dtype.kind in "iu" else "")
        + f"; expected whole ones from 0 to {_WHOLE}, or floating point"
    )
    raise ValueError(msg)


def _pages(content: bytes, *, first: bool) -> Iterator[np.ndarray]:
    """Each page (H, W, C) of a TIFF."""
    import imagecodecs

    for place, tags in enumerate(_directories(content)):
        if place and (tags.get(_SUBFILE, 0) or 0) & 1:
            continue
        page = imagecodecs.tiff_decode(content, index=place)
        if page.ndim == 2:
            page = page[..., None]
        elif tags.get(_PLANES, 1) == 2 and page.shape[0] == tags.get(_SAMPLES, 1):
            page = np.moveaxis(page, 0, -1)
        if tags.get(_PHOTOMETRIC) == 0 and page.dtype in (np.uint8, np.uint16):  # 0 is white
            page = np.iinfo(page.dtype).max - page
        yield upright(page, tags.get(_ORIENTATION, 1))
        if first:
            return


def _directories(content: bytes) -> Iterator[Any]:
    """The tags of each page."""
    file = BytesIO(content)
    tags = ImageFileDirectory_v2(file.read(16 if content[2:4] in (b"+\x00", b"\x00+") else 8))
    seen: set[int] = set()
    while tags.next and tags.next not in seen:
        seen.add(tags.next)
        file.seek(tags.next)
        tags.load(file)
        yield dict(tags)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, C) turned and mirrored as the EXIF tag of this number says, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
