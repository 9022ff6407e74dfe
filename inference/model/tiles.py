"""Large images on the line: cut into the tiles of the network, and what it says of them stitched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol

import numpy as np

from extensions.data.cutting import Cut, cut_of
from extensions.data.imaging import Imaging
from extensions.data.score_pooling import ScorePooling
from extensions.data.tiling.resizing import resized_pixels
from extensions.data.tiling.stitching import Stitching
from inference.model.batches import Key, not_an_image


@dataclass(frozen=True)
class TileKey(Generic[Key]):
    """Which of the tiles that are looked at of an image; a cut of None says that it has no tiles, but an error."""

    image: Key
    index: int
    cut: Cut | None


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
        if error is None:
            try:
                how = cut_of(imaging, image.shape[:2])
            except ValueError as refused:
                error = refused
        if error is not None:
            yield TileKey(key, 0, None), error
            continue
        whole = image if tiling.resize is None else resized_pixels(image, tiling.resize)
        for place, index in enumerate(how.kept):
            yield TileKey(key, place, how), how.tile(whole, index)


def stitched(
    tiles: Iterable[tuple[TileKey[Key], TileScore | Exception]],
    outcome: Callable[[float, np.ndarray, float, np.ndarray | None], Any],
    *,
    streams: int = 1,
    batch: int = 1,
    pooling: ScorePooling | None = None,
) -> Iterator[tuple[Key, Any]]:
    """Whole images again, in order, each as soon as its last tile is there; a tile's error is its image's.

    Args:
        tiles: Those of an image follow each other.
        outcome: Makes of score, map (H, W), milliseconds and what is looked at, (H, W) bool or None, what is said of
            an image. The latencies of tiles add up, those that streams compute at the same time count once.
        streams: Batches of tiles that are computed at the same time.
        batch: Tiles in a batch.
        pooling: How an image's score is taken from its map; None takes that of its highest tile.
    """
    stitching: Stitching | None = None
    error: Exception | None = None
    milliseconds = 0.0
    for key, found in tiles:
        if key.cut is None:
            yield key.image, found
            continue
        if not key.index:
            stitching, error, milliseconds = Stitching(key.cut.grid, pooling), None, 0.0
        if isinstance(found, Exception):
            error = error or found
        elif error is None:
            assert stitching is not None
            stitching.add([key.cut.kept[key.index]], np.array([found.pred_score]), found.anomaly_map[None])
            milliseconds += found.latency_ms
        if key.index == len(key.cut.kept) - 1:
            if error is None:
                assert stitching is not None
                assert stitching.anomaly_map is not None
                at_once = min(streams, -(-len(key.cut.kept) // batch))
                stitching.leave(key.cut.inside)
                yield key.image, outcome(stitching.score, stitching.anomaly_map, milliseconds / at_once, key.cut.inside)
            else:
                yield key.image, error
            stitching = None  # its map is the receiver's
