"""The work on the images of one split that no run needs to do again: decoding them, and computing their features."""

import logging
import os
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from extensions.cache.costs import known_seconds, note_seconds
from extensions.cache.features import FeatureStore
from extensions.cache.images import ImageSplit
from extensions.cache.store import WorkCache
from extensions.runtime.progress import progress_bar

logger = logging.getLogger(__name__)

BATCH_SIZE = 16


@dataclass
class Reused:
    """How much of a run's work was there already, in images, and what the work takes.

    Attributes:
        own_seconds: Of what the run did itself.
        reused_seconds: Of what was there, as long as it took whoever did it; None where that is not known.
    """

    n_images: int = 0
    n_decoded: int = 0
    n_features_computed: int = 0
    own_seconds: float = 0.0
    reused_seconds: float | None = 0.0


class SplitWork:
    """Decodes the images of a split and computes their features, where that was not done before.

    Args:
        split: Of the images.
        store: Of their features; None for images alone.
        layer: The deepest of which the run uses features.
        device: Where features are computed.
    """

    def __init__(self, split: ImageSplit, store: FeatureStore | None, *, layer: str, device: str) -> None:
        self.split = split
        self.store = store
        self.reused = Reused()
        self.fits = True  # whether the cache has room for it
        self._layer = layer
        self._device = device

    def prepare(self) -> None:
        """Do what is missing. All cores decode while the backbone computes; scratch memory is some dozen images'."""
        split, facts = self.split, self.reused
        facts.n_images = len(split)
        todo = self._missing(range(len(split)))
        self._add_known(sorted({*range(len(split))}.difference(todo)))
        if not todo:
            return
        undecoded = {index for index in todo if not split.is_cached(index)}
        if not self._has_room(todo):
            logger.warning(
                "the cache has no room for %d images of %s, so each run on them decodes them again; "
                "$WORKBENCH_CACHE_LIMIT (GiB) raises its limit",
                len(todo),
                split.name,
            )
            self.fits, split.cache, facts.reused_seconds = False, WorkCache(None), 0.0
            return
        with split.cache.lock("fill", split.keys[0]), torch.random.fork_rng():
            # Another process may have come first; the first image, which `_has_room` decoded, has no time of its own.
            left = sorted({*self._missing(todo), *undecoded.intersection(todo[:1])})
            facts.n_decoded = len(undecoded.intersection(left))
            facts.n_features_computed = len(left) if self.store else 0
            self._add_known(sorted(set(todo).difference(left)))
            self._fill(left, undecoded.intersection(left))

    def report(self) -> dict[str, Any]:
        """For a record: of how many images the pixels and the features were there already."""
        facts, is_kept = self.reused, self.split.cache.enabled
        return {
            "images": facts.n_images - facts.n_decoded if is_kept else 0,
            "features": facts.n_images - facts.n_features_computed if is_kept and self.store else 0,
            "of": len(self.split),
        }

    def _missing(self, indices: Iterable[int]) -> list[int]:
        split, store = self.split, self.store
        return [i for i in indices if not (store.is_cached(split, i) if store else split.is_cached(i))]

    def _add_known(self, indices: Sequence[int]) -> None:
        """Add what it took to make what is there."""
        found = known_seconds(self.split, self.store, indices, self._layer)
        known = self.reused.reused_seconds
        self.reused.reused_seconds = None if found is None or known is None else known + found

    def _fill(self, todo: Sequence[int], undecoded: Collection[int]) -> None:
        split, store, facts = self.split, self.store, self.reused
        started, computing = time.perf_counter(), 0.0
        batches = [todo[start : start + BATCH_SIZE] for start in range(0, len(todo), BATCH_SIZE)]
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool, self._on_device():
            ahead = [pool.map(split.load, batch) for batch in batches[:2]]
            written: list[Any] = []
            for number, batch in enumerate(progress_bar(batches, title=f"reading {split.name}", unit="batch")):
                pixels = [image for image, _ in ahead[number]]
                if number + 2 < len(batches):
                    ahead.append(pool.map(split.load, batches[number + 2]))
                for future in written:
                    future.result()
                if store is not None:
                    begun = time.perf_counter()
                    computed = store.compute(torch.from_numpy(np.stack(pixels)))
                    computing += time.perf_counter() - begun
                    written = [pool.submit(store.keep, split, i, computed, place) for place, i in enumerate(batch)]
        seconds = time.perf_counter() - started
        facts.own_seconds += seconds
        if store is not None and not undecoded:
            computing = seconds
        if facts.reused_seconds is not None and todo:  # of what was decoded before and has its features now
            decoded = known_seconds(split, None, [index for index in todo if index not in undecoded])
            facts.reused_seconds = None if decoded is None else facts.reused_seconds + decoded
        n_decoded, n = max(len(undecoded), 1), max(len(todo), 1)
        each = {"decoding": (seconds - computing) / n_decoded, "computing": computing / n}
        note_seconds(split, store, todo, undecoded=undecoded, **each)

    def _has_room(self, todo: Sequence[int]) -> bool:
        image, mask = self.split.load(todo[0])
        n_bytes = image.nbytes + (0 if mask is None else mask.nbytes)
        if self.store is not None:
            with self._on_device():
                computed = self.store.compute(torch.from_numpy(np.array(image))[None])
            n_bytes += sum(feature.nbytes for feature in computed.values())
        return self.split.cache.room_for(n_bytes * len(todo))

    @contextmanager
    def _on_device(self) -> Iterator[None]:
        """The extractor where it is fastest, and back."""
        if self._device == "cpu" or self.store is None:
            yield
            return
        network = self.store.extractor
        network.to(self._device, memory_format=torch.channels_last)
        try:
            yield
        finally:
            network.to("cpu")
