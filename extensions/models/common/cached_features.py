"""The source of a run's features: those that the cache holds of the images in the batch at work."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback

from extensions.backbones.feature_source import Features
from extensions.cache.banks import UnfinishedSelection, find_bank
from extensions.cache.features import FeatureStore
from extensions.cache.images import ImageSplit
from extensions.cache.store import WorkCache
from extensions.models.common.split_work import SplitWork


class CachedFeatures(Callback):
    """A `FeatureSource` that knows the images of a batch as a callback of the trainer: both must be given.

    Args:
        cache: Where banks are kept.
        store: Of the features.
        layers: That the model asks for.
        works: The splits whose features are there.
        device: Where the model runs; banks are looked for on CPUs alone.
    """

    def __init__(
        self, cache: WorkCache, store: FeatureStore, *, layers: Sequence[str], works: Iterable[SplitWork], device: str
    ) -> None:
        self.has_bank = False
        self.bank_seconds: float | None = 0.0  # of a bank that was there; None where that is not known
        self._cache = cache
        self._store = store
        self._layers = list(layers)
        self._on_cpu = device == "cpu"
        self._works = {path: (work, i) for work in works for i, path in enumerate(work.split.paths)}
        self._seen: list[str] = []  # paths of the images of this epoch, in order
        self._batch: list[str] = []  # paths of the images in the batch that the model is working on

    def features(self, images: torch.Tensor, compute: Callable[[torch.Tensor], Features]) -> Features:
        """Features of the images in the batch at work; of any others, computed."""
        find = self._find(images)
        return compute(images) if find is None else find()

    def promise(self, images: torch.Tensor) -> Callable[[], Features] | None:
        """What gives the features of the images in the batch at work; None where no bank is looked for."""
        return self._find(images) if self._on_cpu and self._cache.enabled else None

    def bank(
        self,
        n_kept: int,
        description: dict[str, Any],
        compute: Callable[[UnfinishedSelection | None], torch.Tensor],
        *,
        is_nested: bool,
    ) -> torch.Tensor:
        """A bank that an earlier run selected from the same patches, or a computed one, see `find_bank`."""
        places = [self._place(path) for path in self._seen]
        if None in places or not self._on_cpu:
            return compute(None)
        patches = [self._store.key(*place, layer) for place in places if place is not None for layer in self._layers]
        bank, seconds, self.has_bank = find_bank(
            self._cache, n_kept, compute, is_nested=is_nested, patches=patches, description=description
        )
        self.bank_seconds = seconds if self.has_bank else 0.0
        return bank

    def _find(self, images: torch.Tensor) -> Callable[[], Features] | None:
        places = [place for place in map(self._place, self._batch) if place is not None]
        if not places or not len(places) == len(self._batch) == len(images):
            return None
        split, indices, device = places[0][0], [index for _, index in places], images.device
        if any(place[0] is not split for place in places):
            return None
        batch = self._store.batch
        return lambda: {layer: found.to(device) for layer, found in batch(split, indices, self._layers).items()}

    def _place(self, path: str) -> tuple[ImageSplit, int] | None:
        work, index = self._works.get(path, (None, 0))
        return (work.split, index) if work is not None and work.fits else None

    def on_train_epoch_start(self, *_: Any) -> None:
        """Nothing was seen of this epoch."""
        self._seen = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *_: Any) -> None:
        """These images follow."""
        self._batch = list(map(str, batch.image_path))
        self._seen += self._batch

    def on_validation_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *_: Any) -> None:
        """These images follow."""
        self._batch = list(map(str, batch.image_path))

    on_test_batch_start = on_validation_batch_start

    def on_train_batch_end(self, *_: Any) -> None:
        """Any images may follow."""
        self._batch = []

    on_validation_batch_end = on_test_batch_end = on_exception = on_train_batch_end
