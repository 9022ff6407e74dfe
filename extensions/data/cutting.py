"""What is left of an image where a region of interest is set, and which of its tiles are looked at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from extensions.data.imaging import Imaging
from extensions.data.tiling.grid import Grid

FILL = (124, 116, 104)
"""What is put outside of a region, of 256 levels of RGB: the mean color of ImageNet. No gray pixel has it, so that the
network can tell from a tile alone what of it lies outside."""


@dataclass(frozen=True, eq=False)
class Cut:
    """How an image of one size is cut.

    Attributes:
        grid: Where all tiles lie.
        kept: Indices of those that are looked at.
        inside: (H, W) bool, what is looked at of the image once it was resized; None for all of it.
        fill: What is put outside, a value for each channel as images are handed over.
    """

    grid: Grid
    kept: tuple[int, ...]
    inside: np.ndarray | None
    fill: np.ndarray

    def tile(self, whole: np.ndarray, index: int) -> np.ndarray:
        """A tile (h, w, C) of an image (H, W, C), filled where nobody looks."""
        box = self.grid.box(index)
        if self.inside is None:
            return whole[box]
        filled: np.ndarray = np.where(self.inside[box][..., None], whole[box], self.fill)
        return filled


def filled(pixels: np.ndarray, imaging: Imaging) -> np.ndarray:
    """An image (H, W, C), as it is handed over, with nothing left outside of a region that is fixed.

    Done before any resizing, which would mix pixels of both sides. What is cut into tiles is filled when it is cut.

    Raises:
        ValueError: The image is of another size than the region.
    """
    mask = fixed_mask(imaging)
    if mask is None or imaging.tiling is not None:
        return pixels
    check_size(imaging, (pixels.shape[0], pixels.shape[1]))
    found: np.ndarray = np.where(mask[..., None], pixels, fill_of_channels(imaging))
    return found


def fixed_mask(imaging: Imaging) -> np.ndarray | None:
    """The region of interest, (H, W) bool, where it is the same in all images."""
    return None if imaging.region is None else imaging.region.mask


def check_size(imaging: Imaging, size: tuple[int, int]) -> None:
    """Refuse an image of this height and width where the region of interest is of another.

    Raises:
        ValueError: It names both sizes.
    """
    mask = fixed_mask(imaging)
    if mask is not None and mask.shape != size:
        msg = (
            f"the image is {size[1]} x {size[0]} px (width x height), but the region of interest is for images of "
            f"{mask.shape[1]} x {mask.shape[0]}: give images of that size"
        )
        raise ValueError(msg)


def cut_of(imaging: Imaging, size: tuple[int, int]) -> Cut:
    """How images of this height and width are cut.

    Raises:
        ValueError: They are smaller than a tile, or of another size than the region of interest.
    """
    assert imaging.tiling is not None
    check_size(imaging, size)
    return _cut(imaging, size)


@lru_cache(maxsize=16)
def _cut(imaging: Imaging, size: tuple[int, int]) -> Cut:
    assert imaging.tiling is not None
    grid = imaging.tiling.grid(size)
    if imaging.region is None or imaging.region.mask is None:
        return Cut(grid, tuple(range(len(grid))), None, fill_of_channels(imaging))
    inside = imaging.region.mask
    if inside.shape != grid.size:
        inside = cv2.resize(inside.astype(np.uint8), grid.size[::-1], interpolation=cv2.INTER_NEAREST) > 0
    kept = tuple(index for index in range(len(grid)) if inside[grid.box(index)].any())
    return Cut(grid, kept, inside, fill_of_channels(imaging))


def fill_of_channels(imaging: Imaging) -> np.ndarray:
    """`FILL` for each channel, (C,), in the numbers in which images are handed over."""
    levels = np.resize(np.array(FILL, np.float64), imaging.n_channels)
    if imaging.range is None:
        return levels.astype(np.uint8)
    lows, highs = np.array(imaging.range.lows), np.array(imaging.range.highs)
    values = lows + levels / 255 * (highs - lows)
    return (values if imaging.range.is_floating else values.round()).astype(imaging.range.dtype)


def fill_in_unit(imaging: Imaging) -> np.ndarray:
    """The same as detectors are given it before they normalize, (C,) float32 in [0, 1]."""
    fill = fill_of_channels(imaging)
    if imaging.range is None:
        return fill.astype(np.float32) / 255
    return imaging.range.scaled(fill[None, None])[0, 0]
