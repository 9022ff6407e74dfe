"""From scores and maps of tiles to those of the image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from extensions.data.score_pooling import ScorePooling, pooled_score
from extensions.data.tiling.grid import Grid

PIXELS_AT_ONCE = 2**20  # of tiles in one batch: 16 of 256 px


class Stitching:
    """Takes the tiles of one image as they are scored; holds one map of its size and nothing else.

    Args:
        grid: Where they lie.
        pooling: How the score is taken from the whole map; None and `max` take that of the highest tile.

    Attributes:
        score: Higher is more anomalous. The highest of the tiles so far, NaN when one is; or, after `leave`, what the
            map gives.
        anomaly_map: (H, W) float32, raw: at each pixel the mean over the tiles that show it, weighted as `Grid` says.
            It is complete when all tiles were added; None for a detector without maps.
    """

    def __init__(self, grid: Grid, pooling: ScorePooling | None = None) -> None:
        self.score = -math.inf
        self.anomaly_map: np.ndarray | None = None
        self._grid = grid
        self._pooling = pooling

    def add(self, indices: Sequence[int], scores: np.ndarray, maps: np.ndarray | None) -> None:
        """Add some tiles.

        Args:
            indices: Of each in the grid.
            scores: (n,).
            maps: (n, h, w), enlarged or reduced to the tile's size where they have another one.
        """
        self.score = float(np.maximum(self.score, np.max(scores)))  # NaN stays
        if maps is None:
            return
        if self.anomaly_map is None:
            self.anomaly_map = np.zeros(self._grid.size, np.float32)
        height, width = self._grid.tile
        for index, one in zip(indices, maps, strict=True):
            if one.shape != (height, width):
                one = cv2.resize(np.float32(one), (width, height), interpolation=cv2.INTER_LINEAR)
            self.anomaly_map[self._grid.box(index)] += one * self._grid.weights(index)

    def leave(self, inside: np.ndarray | None) -> None:
        """When all tiles were added, set what lies outside of a region, (H, W) bool, to 0; None leaves all."""
        if self.anomaly_map is None:
            return
        if inside is not None:
            self.anomaly_map *= inside
        if self._pooling is not None and self._pooling.n_pixels != 1:
            self.score = pooled_score(self.anomaly_map, self._pooling, inside)


def tiles_at_once(tile: tuple[int, int]) -> int:
    """How many tiles a network is given together: more need memory and save no time."""
    return max(1, PIXELS_AT_ONCE // (tile[0] * tile[1]))
