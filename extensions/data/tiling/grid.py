"""Where the tiles of an image lie, and how much each counts where several show the same pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Grid:
    """The tiles of one image, row by row.

    Differs from anomalib's `Tiler`: images are not padded or stretched to a whole number of tiles, the last tiles are
    moved inwards instead, so no score comes of pixels that are not there; overlapping maps are blended by ramps and not
    averaged, so they have no steps; tiles are cut and stitched some at a time and not all in one tensor.

    Attributes:
        size: Height and width of the image in px.
        tile: Height and width of a tile in px.
        tops: First row of the tiles in each row of them.
        lefts: First column of the tiles in each column of them.
        row_weights: (len(tops), h) float32; times `column_weights` what a pixel of a tile counts. At each pixel of the
            image the tiles that show it count one together.
        column_weights: (len(lefts), w) float32.
    """

    size: tuple[int, int]
    tile: tuple[int, int]
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    row_weights: np.ndarray
    column_weights: np.ndarray

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    def box(self, index: int) -> tuple[slice, slice]:
        """Rows and columns of a tile."""
        row, column = divmod(index, len(self.lefts))
        top, left = self.tops[row], self.lefts[column]
        return slice(top, top + self.tile[0]), slice(left, left + self.tile[1])

    def weights(self, index: int) -> np.ndarray:
        """What each pixel of a tile counts, (h, w)."""
        row, column = divmod(index, len(self.lefts))
        return self.row_weights[row][:, None] * self.column_weights[column]


def grid_of(size: tuple[int, int], tile: tuple[int, int], overlap: tuple[int, int]) -> Grid:
    """The tiles of an image that is no smaller than one; all arguments are height and width in px."""
    tops, lefts = (starts(*one) for one in zip(size, tile, overlap, strict=True))
    rows = _weights(tops, size[0], tile[0], overlap[0])
    columns = _weights(lefts, size[1], tile[1], overlap[1])
    return Grid(size, tile, tops, lefts, rows, columns)


def starts(side: int, tile: int, overlap: int) -> tuple[int, ...]:
    """Where tiles begin along a side, in px; the last one ends where the side does."""
    return (*range(0, side - tile, tile - overlap), side - tile)


def _weights(first: tuple[int, ...], side: int, tile: int, overlap: int) -> np.ndarray:
    """Ramps over the overlap, divided by their sum at each place: (len(first), tile) float32."""
    near = np.arange(1, tile + 1)
    ramp = np.minimum(1, np.minimum(near, near[::-1]) / (overlap + 1))
    total = np.zeros(side)
    for start in first:
        total[start : start + tile] += ramp
    return np.stack([ramp / total[start : start + tile] for start in first]).astype(np.float32)
