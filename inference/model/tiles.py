"""Large images on the line: cut into the tiles of the network, and what it says of them stitched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol

import numpy as np

from extensions.data.imaging import Imaging
from extensions.data.tiling.grid import Grid
from extensions.data.tiling.resizing import resized_pixels
from extensions.data.tiling.stitching import Stitching
from inference.model.batches import Key, not_an_image


@dataclass(frozen=True)
class TileKey(Generic[Key]):
    """Which tile of which image; a grid of None says that the image has no tiles, but an error."""

    image: Key
    index: int
    grid: Grid | None


class TileScore(Protocol):
    """What a network says of one tile, see `inference.model.predictors.Prediction`."""

    @property
    def pred_score(self) -> float: ...  # noqa: D102

    @property
    def anomaly_map(self) -> np.ndarray: ...  # noqa: D102

    @property
    def latency_ms(self) -> float: ...  # noqa: D102


def cut(images: Iterable[tuple[Key, Any]], imaging: Imaging, dtype: str) -> Iterator[tuple[TileKey[Key], Any]]:
    """The tiles of images (H, W, C) of such numbers, one after the other; what is none, or too small, as the error."""
    tiling = imaging.tiling
    assert tiling is not None
    for key, image in images:
        error = not_an_image(image, dtype, imaging.n_channels)
        if error is None and not tiling.fits(image.shape[:2]):
            error = tiling.error(image.shape[:2])
        if error is not None:
            yield TileKey(key, 0, None), error
            continue
        grid = tiling.grid(image.shape[:2])
        whole = image if tiling.resize is None else resized_pixels(image, tiling.resize)
        for index in range(len(grid)):
            yield TileKey(key, index, grid), whole[grid.box(index)]


def stitched(
    tiles: Iterable[tuple[TileKey[Key], TileScore | Exception]],
    outcome: Callable[[float, np.ndarray, float], Any],
    *,
    streams: int = 1,
    batch: int = 1,
) -> Iterator[tuple[Key, Any]]:
    """Whole images again, in order, each as soon as its last tile is there; a tile's error is its image's.

    Args:
        tiles: Those of an image follow each other.
        outcome: Makes of score, map (H, W) and milliseconds what is said of an image. The latencies of tiles add up,
            those that streams compute at the same time count once.
        streams: Batches of tiles that are computed at the same time.
        batch: Tiles in a batch.
    """
    stitching: Stitching | None = None
    error: Exception | None = None
    milliseconds = 0.0
    for key, found in tiles:
        if key.grid is None:
            yield key.image, found
            continue
        if not key.index:
            stitching, error, milliseconds = Stitching(key.grid), None, 0.0
        if isinstance(found, Exception):
            error = error or found
        elif error is None:
            assert stitching is not None
            stitching.add(key.index, np.array([found.pred_score]), found.anomaly_map[None])
            milliseconds += found.latency_ms
        if key.index == len(key.grid) - 1:
            if error is None:
                assert stitching is not None
                assert stitching.anomaly_map is not None
                at_once = min(streams, -(-len(key.grid) // batch))
                yield key.image, outcome(stitching.score, stitching.anomaly_map, milliseconds / at_once)
            else:
                yield key.image, error
            stitching = None  # its map is the receiver's
