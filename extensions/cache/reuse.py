"""One run on what earlier runs have computed: images decoded once, frozen features computed once."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from extensions.backbones import architecture, load_backbone_weights
from extensions.backbones.frozen import FrozenFeatureExtractor, feature_engine
from extensions.cache.banks import UnfinishedSelection, find_bank
from extensions.cache.costs import known_seconds, note_seconds
from extensions.cache.features import FeatureStore
from extensions.cache.images import ImageSplit
from extensions.cache.store import WorkCache
from extensions.cache.transform_parts import gives_one_size, split_transform
from extensions.data.datamodules.stock_datasets import read_as_ours
from extensions.runtime.progress import progress_bar

if TYPE_CHECKING:
    from anomalib.data import AnomalibDataModule
    from anomalib.models import AnomalibModule

logger = logging.getLogger(__name__)

SPLITS = ("train", "test")
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


class Reuse:
    """The images of a datamodule and their features under a model's frozen backbone, by way of a cache.

    Results differ from those without it by rounding at most. What may be random is not kept: of a split with
    augmentations only the images before them are, of a model whose pre-processor may be random nothing.

    Args:
        cache: Where images and features are kept.
        datamodule: Set up.
        model: Has not been trained; its pre-processor and backbone decide what is kept.
        layers: More layers of the same backbone that other runs will ask for.
        device: Where features are computed.
        splits: `train`, `test`, and `val` where the fit validates.
        augmented: Those of them that callbacks of the trainer augment.

    Example:
        >>> reuse = Reuse(open_cache(), datamodule, model)
        >>> reuse.prepare("train")
        >>> with reuse.serving():
        ...     Engine(callbacks=[reuse.callback]).fit(model, datamodule=datamodule)
    """

    def __init__(
        self,
        cache: WorkCache,
        datamodule: AnomalibDataModule,
        model: AnomalibModule,
        *,
        layers: Sequence[str] = (),
        device: str = "cpu",
        splits: Sequence[str] = SPLITS,
        augmented: Collection[str] = (),
    ) -> None:
        self.cache = cache
        self.reused = {split: Reused() for split in splits}
        self.splits: dict[str, ImageSplit] = {}
        self.features: FeatureStore | None = None
        self.callback = _BatchWatcher(self)
        self._datamodule = datamodule
        self._model = model
        self._device = device
        self._augmented = augmented
        self.has_bank = False
        self.bank_seconds: float | None = 0.0  # of a bank that was there; None where that is not known
        self._seen: list[str] = []  # paths of the images of this epoch, in order
        self._batch: list[str] = []  # paths of the images in the batch that the model is working on
        self._places: dict[str, tuple[ImageSplit, int]] = {}
        parts = split_transform(getattr(model.pre_processor, "transform", None))
        if not cache.enabled or parts is None:
            return
        self._fixed, self._normalize = parts
        self._add_splits()
        extractor = getattr(model.model, getattr(model, "extractor_name", ""), None)
        if self.splits and isinstance(extractor, FrozenFeatureExtractor) and _is_single(extractor):
            self._extractor = extractor
            self.features = self._feature_store(extractor, layers)

    def _add_splits(self) -> None:
        for name in self.reused:
            dataset = getattr(self._datamodule, f"{name}_data", None)
            if dataset is not None and len(dataset):
                augmentations = getattr(self._datamodule, f"{name}_augmentations", None)
                self.splits[name] = ImageSplit(
                    read_as_ours(dataset) if getattr(self._model, "reads_as_ours", False) else dataset,
                    self.cache,
                    self._fixed,
                    augmentations=augmentations,
                    augmented_later=name in self._augmented,
                )
        if not gives_one_size(self._fixed) and not all(split.is_uniform for split in self.splits.values()):
            self.splits = {}  # images of several sizes are fitted to their batch
        self._places = {
            path: (s, i) for s in self.splits.values() if not s.is_augmented for i, path in enumerate(s.paths)
        }

    def _feature_store(self, extractor: FrozenFeatureExtractor, layers: Sequence[str]) -> FeatureStore:
        """For the model's layers, or for more of them with an extractor of their own."""
        origin = getattr(self._model, "backbone_weights", None)
        own = list(map(str, extractor.layers))
        wanted = own
        if origin is not None and not set(layers) <= set(own):
            wanted = sorted({*own, *layers})
            extractor = _wider(self._model.backbone, tuple(wanted), origin.path, origin.sha256, feature_engine())
        weights = origin.sha256 if origin is not None else extractor.identity()["tensors"]
        engine = extractor.engine if self._device == "cpu" else self._device
        return FeatureStore(extractor, layers=wanted, weights=weights, normalize=self._normalize, engine=engine)

    def prepare(self, name: str) -> None:
        """Decode the images of a split and compute their features, where that was not done.

        All cores decode while the backbone computes; scratch memory is that of some dozen images.
        """
        split = self.splits.get(name)
        if split is None:
            return
        facts = self.reused[name]
        facts.n_images = len(split)
        todo = self._missing(split, range(len(split)))
        self._add_known(name, sorted({*range(len(split))}.difference(todo)))
        if not todo:
            return
        undecoded = {index for index in todo if not split.is_cached(index)}
        if not self._has_room(split, todo):
            logger.warning(
                "the cache has no room for %d images of %s, so each run on them decodes them again; "
                "$WORKBENCH_CACHE_LIMIT (GiB) raises its limit",
                len(todo),
                self._datamodule.name,
            )
            split.cache, facts.reused_seconds = WorkCache(None), 0.0
            self._places = {path: place for path, place in self._places.items() if place[0] is not split}
            return
        with self.cache.lock("fill", split.keys[0]), torch.random.fork_rng():
            left = self._missing(split, todo)  # another process may have come first
            facts.n_decoded = len(undecoded.intersection({todo[0], *left}))
            facts.n_features_computed = len(left) if self._store(split) else 0
            self._add_known(name, sorted(set(todo).difference(left)))
            self._fill(name, left, undecoded.intersection(left))

    def _add_known(self, name: str, indices: Sequence[int]) -> None:
        """Add what it took to make what is there."""
        split, facts = self.splits[name], self.reused[name]
        store = self._store(split)
        layer = str(self._extractor.layers[-1]) if store is not None else ""
        found = known_seconds(split, store, indices, layer)
        known = facts.reused_seconds
        facts.reused_seconds = None if found is None or known is None else known + found

    def seconds(self, *names: str) -> tuple[float, float | None]:
        """What this run did itself for some splits, and what it reused (None where that is not known), in seconds."""
        facts = [self.reused[name] for name in names if name in self.reused]
        reused = [self.bank_seconds, *(one.reused_seconds for one in facts)]
        known = [one for one in reused if one is not None]
        return sum(one.own_seconds for one in facts), sum(known) if len(known) == len(reused) else None

    def image(self) -> torch.Tensor:
        """The first test image, (3, H, W), as the pre-processor gets it inside `serving`."""
        if "test" in self.splits:
            return torch.from_numpy(np.array(self.splits["test"].load(0)[0]))
        return self._datamodule.test_data[0].image

    def report(self) -> dict[str, Any]:
        """For a record: of how many images of each split the pixels and the features were there already."""
        reported: dict[str, Any] = {}
        for name, split in self.splits.items():
            facts = self.reused[name]
            has_features = self._store(split) is not None and split.cache.enabled
            reported[name] = {
                "images": facts.n_images - facts.n_decoded if split.cache.enabled else 0,
                "features": facts.n_images - facts.n_features_computed if has_features else 0,
                "of": len(split),
            }
        if self.has_bank:
            reported["train"]["bank"] = True
        return reported

    def _store(self, split: ImageSplit) -> FeatureStore | None:
        """Where features of the split are kept."""
        return None if split.is_augmented else self.features

    def _missing(self, split: ImageSplit, indices: Iterable[int]) -> list[int]:
        store = self._store(split)
        return [i for i in indices if not (store.is_cached(split, i) if store else split.is_cached(i))]

    def _fill(self, name: str, todo: Sequence[int], undecoded: Collection[int]) -> None:
        split, facts = self.splits[name], self.reused[name]
        store = self._store(split)
        started, computing = time.perf_counter(), 0.0
        batches = [todo[start : start + BATCH_SIZE] for start in range(0, len(todo), BATCH_SIZE)]
        title = f"reading {split.name}"
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool, self._on_device():
            ahead = [pool.map(split.load, batch) for batch in batches[:2]]
            written: list[Any] = []
            for number, batch in enumerate(progress_bar(batches, title=title, unit="batch")):
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

    def _has_room(self, split: ImageSplit, todo: Sequence[int]) -> bool:
        image, mask = split.load(todo[0])
        n_bytes = image.nbytes + (0 if mask is None else mask.nbytes)
        store = self._store(split)
        if store is not None:
            with self._on_device():
                computed = store.compute(torch.from_numpy(np.array(image))[None])
            n_bytes += sum(feature.nbytes for feature in computed.values())
        return self.cache.room_for(n_bytes * len(todo))

    @contextmanager
    def _on_device(self) -> Iterator[None]:
        """The extractor where it is fastest, and back."""
        if self._device == "cpu" or self.features is None:
            yield
            return
        network = self.features.extractor
        network.to(self._device, memory_format=torch.channels_last)
        try:
            yield
        finally:
            network.to("cpu")

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Give images and features to whoever trains or tests the model with the datamodule inside the block."""
        with ExitStack() as stack:
            for name, split in self.splits.items():
                known = self.features is not None and split.cache.enabled and not split.is_augmented
                split.with_pixels = not known or getattr(self._model, "uses_pixels", True)
                split.is_repeated = name != "test" and "max_epochs" not in self._model.trainer_arguments
                stack.enter_context(_replaced(self._datamodule, f"{name}_data", split))
            if self.splits and all(split.cache.enabled for split in self.splits.values()):
                # reading from the cache costs less than passing it between processes
                stack.enter_context(_replaced(self._datamodule, "num_workers", 0))
            if self.splits and getattr(self._model.pre_processor, "transform", None) is not None:
                stack.enter_context(_replaced(self._model.pre_processor, "transform", self._normalize))
            if self.features is not None:
                stack.enter_context(_replaced(self._extractor, "source", self._find))
                if hasattr(self._model.model, "keep_bank"):
                    stack.enter_context(_replaced(self._model.model, "keep_bank", self._bank))
                    if self._device == "cpu" and self.cache.enabled:  # else no bank is looked for
                        stack.enter_context(_replaced(self._model.model, "find_later", self._find_later))
            yield

    def _find(self, images: torch.Tensor, compute: Any) -> dict[str, torch.Tensor]:
        """Features of the images in the batch at work; of any others, computed."""
        find = self._find_later(images)
        return compute(images) if find is None else find()

    def _find_later(self, images: torch.Tensor) -> Callable[[], dict[str, torch.Tensor]] | None:
        """What gives the features of the images in the batch at work, at any time; None for any others."""
        places = [place for place in map(self._places.get, self._batch) if place is not None]
        if self.features is None or not places or not len(places) == len(self._batch) == len(images):
            return None
        store, split, device = self.features, places[0][0], images.device
        if any(place[0] is not split for place in places):
            return None
        layers, indices = list(map(str, self._extractor.layers)), [index for _, index in places]
        return lambda: {layer: found.to(device) for layer, found in store.batch(split, indices, layers).items()}

    def _bank(
        self,
        n_kept: int,
        description: dict[str, Any],
        compute: Callable[[UnfinishedSelection | None], torch.Tensor],
        *,
        is_nested: bool,
    ) -> torch.Tensor:
        """A memory bank that an earlier run selected from the same patches, or a computed one, see `find_bank`.

        Args:
            n_kept: Patches in the bank.
            description: What decides the bank beside the patches, their order and the state of the random generators.
            compute: Selects it.
            is_nested: Whether a smaller bank is the first part of a larger one.
        """
        places = [self._places.get(path) for path in self._seen]
        if self.features is None or None in places or self._device != "cpu":
            return compute(None)
        layers = list(map(str, self._extractor.layers))
        patches = [self.features.key(*place, layer) for place in places if place is not None for layer in layers]
        bank, seconds, self.has_bank = find_bank(
            self.cache, n_kept, compute, is_nested=is_nested, patches=patches, description=description
        )
        self.bank_seconds = seconds if self.has_bank else 0.0
        return bank


@lru_cache(maxsize=1)  # the runs of a sweep on one backbone need the same one
def _wider(
    backbone: str, layers: tuple[str, ...], weights: Path | None, sha256: str, engine: str
) -> FrozenFeatureExtractor:
    """An extractor for more layers than a model's own; hash and engine only tell one from another."""
    del sha256, engine
    with torch.random.fork_rng():  # a run draws the same numbers whatever others look at
        wider = FrozenFeatureExtractor(architecture(backbone), layers, pre_trained=False)
    load_backbone_weights(wider, backbone, weights)
    return wider.eval()


class _BatchWatcher(Callback):
    """Tells which images the model is working on."""

    def __init__(self, reuse: Reuse) -> None:
        self._reuse = reuse

    def on_train_epoch_start(self, *_: Any) -> None:
        self._reuse._seen = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *_: Any) -> None:
        self._reuse._batch = list(map(str, batch.image_path))
        self._reuse._seen += self._reuse._batch

    def on_validation_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *_: Any) -> None:
        self._reuse._batch = list(map(str, batch.image_path))

    def on_test_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *_: Any) -> None:
        self._reuse._batch = list(map(str, batch.image_path))

    def on_train_batch_end(self, *_: Any) -> None:
        self._reuse._batch = []

    def on_validation_batch_end(self, *_: Any) -> None:
        self._reuse._batch = []

    def on_test_batch_end(self, *_: Any) -> None:
        self._reuse._batch = []


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Another value of an attribute inside the block."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _is_single(extractor: FrozenFeatureExtractor) -> bool:
    return next(extractor.feature_extractor.parameters()).dtype == torch.float32
