"""How long cached work took whoever did it, so that a run that reuses it can say what it would have cost."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from extensions.cache.features import FeatureStore
    from extensions.cache.images import ImageSplit


def note_seconds(
    split: ImageSplit,
    store: FeatureStore | None,
    indices: Sequence[int],
    *,
    undecoded: Collection[int],
    decoding: float,
    computing: float,
) -> None:
    """Note with each entry how long it takes with nothing at hand.

    Args:
        split: Of the images.
        store: Of their features; None where only images were decoded.
        indices: Of the images that were worked on.
        undecoded: Those of them that had to be decoded.
        decoding: Seconds an image to decode it and bring it to size.
        computing: Seconds an image of the backbone.
    """
    for index in indices:
        if index in undecoded:
            seconds = decoding
            split.cache.note("images", split.keys[index], [decoding])
        else:
            seconds = _noted(split, "images", split.keys[index])
        for layer in store.layers if store is not None else ():
            split.cache.note("features", store.key(split, index, layer), [seconds + computing])  # type: ignore[union-attr]


def known_seconds(
    split: ImageSplit, store: FeatureStore | None, indices: Sequence[int], layer: str = ""
) -> float | None:
    """Seconds that it took to decode images, and to compute their features; None where an entry does not say.

    Args:
        split: Of the images.
        store: Of their features; None for the images alone.
        indices: Of the images.
        layer: The deepest that is used: one pass gives all before it.
    """
    if store is None:
        total = sum(_noted(split, "images", split.keys[index]) for index in indices)
    else:
        total = sum(_noted(split, "features", store.key(split, index, layer)) for index in indices)
    return None if math.isnan(total) else float(total)


def _noted(split: ImageSplit, kind: str, key: str) -> float:
    """Seconds of an entry, NaN where they are not known."""
    found = split.cache.noted(kind, key)
    return float(found[0]) if found is not None and len(found) else math.nan


class SelectionTimes:
    """When a selection had how many patches: a smaller bank is the first part of a larger one."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._counts: list[float] = [0.0]
        self._seconds: list[float] = [0.0]
        self.is_whole = True  # False when it went on from where another process was stopped

    def reached(self, n_selected: int) -> None:
        """Note the time."""
        if len(self._counts) > 200:  # every other is enough
            del self._counts[1::2], self._seconds[1::2]
        self._counts.append(n_selected)
        self._seconds.append(time.perf_counter() - self._started)

    def note(self, n_kept: int) -> list[float]:
        """All times in one row, with that of the end; empty when the beginning is not known."""
        self.reached(n_kept)
        return [*self._counts, *self._seconds] if self.is_whole else []

    @staticmethod
    def seconds(note: np.ndarray | None, n_kept: int) -> float | None:
        """How long the first patches of a noted selection took; None where nothing was noted."""
        if note is None or not len(note):
            return None
        counts, seconds = np.split(np.asarray(note), 2)
        return float(np.interp(n_kept, counts, seconds))
