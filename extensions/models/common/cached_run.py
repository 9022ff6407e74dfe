"""One run on what earlier runs have computed: images decoded once, frozen features computed once."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torchvision.transforms.v2 import Compose, Identity

from extensions.backbones import architecture, load_backbone_weights
from extensions.backbones.frozen import FrozenFeatureExtractor, feature_engine
from extensions.backbones.input_channels import in_channels, set_in_channels
from extensions.cache.features import FeatureStore
from extensions.cache.images import ImageSplit
from extensions.cache.store import WorkCache
from extensions.cache.transform_parts import gives_one_size, split_repeatable, split_transform
from extensions.data.checks.inspection import inspect_files
from extensions.data.datamodules.stock_datasets import read_as_ours
from extensions.models.common.cached_features import CachedFeatures
from extensions.models.common.region_mixin import needs_pixels
from extensions.models.common.split_work import SplitWork
from extensions.models.common.tiled_scoring import tiling_of

if TYPE_CHECKING:
    from anomalib.data import AnomalibDataModule
    from anomalib.models import AnomalibModule
    from torchvision.transforms.v2 import Transform

SPLITS = ("train", "test")


class CachedRun:
    """The images of a datamodule and their features under a model's frozen backbone, by way of a cache.

    Datamodule and model stay as they are: the Engine is given the datamodule of `datamodule()` in place of the first,
    and the model is told where features are known, by `model.feature_source`. The pre-processor does all of its work
    each time: what the cache holds is what its first steps do not change again.

    Results differ from those without it by rounding at most. What may be random is not kept: of a split with
    augmentations only the images before them are, of a model whose pre-processor may be random nothing.

    Args:
        cache: Where images and features are kept.
        datamodule: Set up.
        model: Has not been trained; its pre-processor and backbone decide what is kept.
        layers: More layers of the same backbone that other runs will ask for.
        device: Where features are computed.
        splits: `train`, `test`, and `val` where the fit validates.
        augmented: Those of them that callbacks of the trainer augment; a model adds its `changed_splits`.

    Attributes:
        source: Of the model's features, and a callback that the Engine must be given; None where none are kept.

    Of an ensemble features are kept for each member, and it is told of the cache, for it fits members itself.

    Example:
        >>> cached = CachedRun(open_cache(), datamodule, model)
        >>> cached.prepare("train")
        >>> with cached.serving() as served:
        ...     Engine(callbacks=cached.callbacks).fit(model, datamodule=served)
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
        self._features: CachedFeatures | None = None
        self._datamodule = datamodule
        self._model = model
        self._works: dict[str, SplitWork] = {}
        self._members = [
            CachedRun(cache, datamodule, member, device=device, splits=splits, augmented=augmented)
            for member in getattr(model, "members", ())
        ]
        if self._members:  # an ensemble, which fits them itself
            model.work_cache = cache if cache.enabled else None
        parts = split_transform(getattr(model.pre_processor, "transform", None))
        # Of tiles the data set itself keeps the pixels; the features of all of them would fill the disk.
        if not cache.enabled or parts is None or tiling_of(model) is not None:
            return
        fixed, self._crop = split_repeatable(parts[0])
        self._normalize = parts[1]
        changed = {*augmented, *getattr(model, "changed_splits", ())}
        images = self._image_splits(cache, fixed, splits, changed)
        extractor = getattr(model.model, getattr(model, "extractor_name", ""), None)
        store, own = None, [""]
        if images and isinstance(extractor, FrozenFeatureExtractor) and extractor.is_single:
            store, own = self._feature_store(extractor, layers, device), list(map(str, extractor.layers))
        for name, split in images.items():
            known = None if split.is_augmented else store
            self._works[name] = SplitWork(split, known, layer=own[-1], device=device)
        if store is not None:
            works = [work for work in self._works.values() if work.store is not None]
            self._features = CachedFeatures(cache, store, layers=own, works=works, device=device)

    def _image_splits(
        self, cache: WorkCache, fixed: Transform | None, names: Sequence[str], augmented: Collection[str]
    ) -> dict[str, ImageSplit]:
        splits = {}
        for name in names:
            dataset = getattr(self._datamodule, f"{name}_data", None)
            if dataset is not None and len(dataset):
                splits[name] = ImageSplit(
                    read_as_ours(dataset, self._model.imaging)
                    if getattr(self._model, "reads_as_ours", False)
                    else dataset,
                    cache,
                    fixed,
                    inspect=inspect_files,
                    augmentations=getattr(self._datamodule, f"{name}_augmentations", None),
                    augmented_later=name in augmented,
                )
        # images of several sizes are fitted to their batch
        return splits if gives_one_size(fixed) or all(split.is_uniform for split in splits.values()) else {}

    def _feature_store(self, extractor: FrozenFeatureExtractor, layers: Sequence[str], device: str) -> FeatureStore:
        """For the model's layers, or for more of them with an extractor of their own."""
        origin = getattr(self._model, "backbone_weights", None)
        own = list(map(str, extractor.layers))
        wanted = own
        if origin is not None and not set(layers) <= set(own):
            wanted = sorted({*own, *layers})
            n_channels = in_channels(extractor)
            extractor = _extractor_for_layers(
                self._model.backbone, tuple(wanted), origin.path, origin.sha256, feature_engine(), n_channels
            )
        steps = [step for part in (self._crop, self._normalize) if part is not None for step in part.transforms]
        return FeatureStore(
            extractor,
            layers=wanted,
            weights=origin.sha256 if origin is not None else extractor.identity()["tensors"],
            normalize=Compose(steps) if steps else None,
            engine=extractor.engine if device == "cpu" else f"{device} float32",  # older entries may be of TF32
        )

    @property
    def source(self) -> CachedFeatures | list[Any] | None:
        """Of the model's features, for an ensemble that of each member; None where none are kept."""
        found = [member.source for member in self._members]
        return found if any(one is not None for one in found) else self._features

    @property
    def callbacks(self) -> list[CachedFeatures]:
        """What the Engine must be given."""
        own = [] if self._features is None else [self._features]
        return own + [one for member in self._members for one in member.callbacks]

    def prepare(self, name: str) -> None:
        """Decode the images of a split and compute their features, where that was not done."""
        for member in self._members:
            member.prepare(name)
        if name in self._works:
            self._works[name].prepare()

    def datamodule(self) -> AnomalibDataModule:
        """The same datamodule with splits that read from the cache, when all of them are prepared.

        Its images have been brought to size already. Pixels that nobody looks at are left out.
        """
        if not self._works:
            return self._datamodule
        served = copy.copy(self._datamodule)
        served.uncached = self._datamodule
        is_single_pass = "max_epochs" in self._model.trainer_arguments
        for name, work in self._works.items():
            has_features = work.store is not None and work.split.cache.enabled
            work.split.with_pixels = not has_features or needs_pixels(self._model)
            work.split.is_repeated = name != "test" and not is_single_pass
            setattr(served, f"{name}_data", work.split)
        if all(work.split.cache.enabled for work in self._works.values()):
            served.num_workers = 0  # reading from the cache costs less than passing it between processes
        return served

    @contextmanager
    def serving(self) -> Iterator[AnomalibDataModule]:
        """`datamodule()`, while the model is told where features are known; it outlives a run, also one that failed."""
        served = self.datamodule()
        if self.source is not None:
            self._model.feature_source = self.source
        try:
            yield served
        finally:
            if self.source is not None:
                self._model.feature_source = None

    def seconds(self, *names: str) -> tuple[float, float | None]:
        """What this run did itself for some splits, and what it reused (None where that is not known), in seconds."""
        facts = [self._works[name].reused for name in names if name in self._works]
        reused: list[float | None] = [self.bank_seconds]
        reused += [getattr(self._model, "bank_seconds", 0.0) if "train" in names else 0.0]
        reused += [one.reused_seconds for one in facts]
        of_members = [member.seconds(*names) for member in self._members]
        own = sum(one.own_seconds for one in facts) + sum(seconds for seconds, _ in of_members)
        reused += [seconds for _, seconds in of_members]
        known = [one for one in reused if one is not None]
        return own, sum(known) if len(known) == len(reused) else None

    @property
    def bank_seconds(self) -> float | None:
        """What a memory bank that was there had taken; 0 for none, None where that is not known."""
        return 0.0 if self._features is None else self._features.bank_seconds

    def network_input(self) -> tuple[torch.Tensor, Transform]:
        """The first test image, (3, H, W), and what is left to do to it before the network sees it.

        It has the size that the network sees, unless nothing is kept of the images.
        """
        if "test" not in self._works:
            transform = getattr(self._model.pre_processor, "transform", None)
            return self._datamodule.test_data[0].image, transform or Identity()
        image = torch.from_numpy(np.array(self._works["test"].split.load(0)[0]))
        return image if self._crop is None else self._crop(image), self._normalize or Identity()

    def report(self) -> dict[str, Any]:
        """For a record: of how many images of each split the pixels and the features were there already."""
        reported = {name: work.report() for name, work in self._works.items()}
        if self._features is not None and self._features.has_bank:
            reported["train"]["bank"] = True
        return reported


@lru_cache(maxsize=1)  # the runs of a sweep on one backbone need the same one
def _extractor_for_layers(
    backbone: str, layers: tuple[str, ...], weights: Path | None, sha256: str, engine: str, n_channels: int
) -> FrozenFeatureExtractor:
    """An extractor for more layers than a model's own; hash and engine only tell one from another."""
    del sha256, engine
    with torch.random.fork_rng():  # a run draws the same numbers whatever others look at
        wider = FrozenFeatureExtractor(architecture(backbone), layers, pre_trained=False)
    load_backbone_weights(wider, backbone, weights)
    set_in_channels(wider, n_channels)
    return wider.eval()
