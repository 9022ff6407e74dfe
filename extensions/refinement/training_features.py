"""Features of a datamodule's training images by a frozen backbone, computed once and kept in the cache."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from extensions.cache.costs import note_seconds
from extensions.refinement.evidence import pooled
from extensions.runtime.progress import progress_bar

if TYPE_CHECKING:
    from anomalib.data import AnomalibDataModule

    from extensions.cache import WorkCache
    from extensions.cache.features import FeatureStore
    from extensions.cache.images import ImageSplit

BATCH_SIZE = 16
NEIGHBORHOOD = 3


@dataclass(frozen=True)
class TrainingFeatures:
    """What a frozen backbone sees in the training images.

    Attributes:
        names: Of the N images, relative to the data set's root.
        paths: Their files, in the same order.
        patches: (N, P, C) float32, the positions row by row.
        grid: Height and width in positions, P = height · width.
        n_computed: Images that the backbone saw in this call; of the others the features were cached.
    """

    names: list[str]
    paths: list[str]
    patches: np.ndarray
    grid: tuple[int, int]
    n_computed: int

    @cached_property
    def embeddings(self) -> np.ndarray:
        """(N, 2 C) float32, see `extensions.refinement.evidence.pooled`."""
        return pooled(self.patches)


def training_features(
    datamodule: AnomalibDataModule,
    *,
    backbone: str = "resnet18",
    weights: str | Path | None = None,
    layers: Sequence[str] | None = None,
    image_size: int | tuple[int, int] = 224,
    cache: WorkCache | None = None,
) -> TrainingFeatures:
    """Patch features of a datamodule's training images, without their augmentations.

    As in PatchCore (Roth et al., "Towards Total Recall in Industrial Anomaly Detection", 2022,
    https://arxiv.org/abs/2106.08265) each layer is averaged over 3 x 3 positions and the layers are put side by side.
    What lies outside of the data set's region of interest is filled before. Differs from the paper: on the coarsest
    layer's grid, to which finer layers are averaged, so four times fewer patches tell of as much.

    A detector with the same backbone, weights, image size and layers finds the same features in the cache.

    Args:
        datamodule: Set up, or it will be.
        backbone: timm name.
        weights: Path or name of its weights; None for those of its tag.
        layers: Names of feature maps; None for those of `backbone` that are 8 and 16 times smaller than the image.
        image_size: Height and width in px that an image is resized to; one number for both.
        cache: None for the one in `$WORKBENCH_CACHE`.

    Raises:
        ValueError: There are no training images.
        WeightsNotFoundError: The backbone's weights are nowhere.
    """
    from extensions.cache import open_cache
    from extensions.cache.images import ImageSplit
    from extensions.cache.transform_parts import split_transform
    from extensions.data.channels import RGB
    from extensions.data.checks.inspection import inspect_files
    from extensions.data.datamodules.stock_datasets import read_as_ours
    from extensions.data.imaging import imaging_of
    from extensions.models.common.pre_processor import default_pre_processor
    from extensions.models.common.region_mixin import fill_of, with_fill

    datamodule.setup("fit")
    if not len(datamodule.train_data):
        msg = f"data set {datamodule.name!r} has no training images to rank; expected some in its training split"
        raise ValueError(msg)
    imaging = imaging_of(datamodule)
    if imaging.n_channels != RGB:
        msg = (
            f"the images of data set {datamodule.name!r} have {imaging.n_channels} channels, and training images are "
            f"ranked by features of {RGB}: refine with channels that give {RGB}, or rank by the detector's own score"
        )
        raise ValueError(msg)
    transform = default_pre_processor(backbone, image_size=image_size).transform
    if imaging.region is not None:
        transform = with_fill(transform, fill_of(imaging.region, transform, name=backbone))
    parts = split_transform(transform)
    assert parts is not None  # nothing in the default is random
    split = ImageSplit(read_as_ours(datamodule.train_data), cache or open_cache(), parts[0], inspect=inspect_files)
    store = _feature_store(backbone, weights=weights, layers=layers, normalize=parts[1])
    missing = {index for index in range(len(split)) if not store.is_cached(split, index)}
    patches = np.empty((len(split), 0, 0), np.float32)
    grid = (0, 0)
    for indices, features in _batches(split, store, missing):
        rows, grid = _patches(features)
        if not patches.size:
            patches = np.empty((len(split), *rows.shape[1:]), np.float32)
        patches[indices] = rows
    relative: Callable[[str], str] = getattr(datamodule, "relative", str)
    return TrainingFeatures([relative(path) for path in split.paths], split.paths, patches, grid, len(missing))


def _feature_store(
    backbone: str, *, weights: str | Path | None, layers: Sequence[str] | None, normalize: object
) -> FeatureStore:
    """As `extensions.models.common.cached_run` builds it for a detector, so that the entries are the same."""
    from extensions import backbones
    from extensions.backbones.frozen import FrozenFeatureExtractor
    from extensions.cache.features import FeatureStore

    backbones.register()
    with torch.random.fork_rng():  # a run draws the same numbers whether it ranks or not
        backbones.check_backbone(backbone)
        if layers is None:
            layers = backbones.default_layers(backbone, reductions=(8, 16))
        layers = backbones.check_layers(backbone, layers)
        extractor = FrozenFeatureExtractor(backbones.architecture(backbone), list(layers), pre_trained=False)
    origin = backbones.load_backbone_weights(extractor, backbone, weights)
    extractor.eval()
    return FeatureStore(
        extractor, layers=list(layers), weights=origin.sha256, normalize=normalize, engine=extractor.engine
    )


def _batches(
    split: ImageSplit, store: FeatureStore, missing: set[int]
) -> Iterator[tuple[list[int], dict[str, torch.Tensor]]]:
    """Indices and feature maps of a batch of images at a time, first of those that are cached.

    All cores decode the next batch while the backbone works on one.
    """
    cached = [index for index in range(len(split)) if index not in missing]
    for start in range(0, len(cached), BATCH_SIZE):
        indices = cached[start : start + BATCH_SIZE]
        yield indices, store.batch(split, indices, store.layers)
    if not missing:
        return
    todo = np.array_split(np.array(sorted(missing)), -(-len(missing) // BATCH_SIZE))
    undecoded = {index for index in missing if not split.is_cached(index)}
    keeps: bool | None = None
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        ahead = pool.map(split.load, todo[0].tolist())
        for number, batch in enumerate(progress_bar(todo, title=f"features of {split.name}", unit="batch", leave=True)):
            started = time.perf_counter()
            pixels = [image for image, _ in ahead]
            decoded = time.perf_counter()
            if number + 1 < len(todo):
                ahead = pool.map(split.load, todo[number + 1].tolist())
            computed = store.compute(torch.from_numpy(np.stack(pixels)))
            each = {"decoding": (decoded - started) / len(batch)}
            each["computing"] = (time.perf_counter() - decoded) / len(batch)
            if keeps is None:
                n_bytes = sum(feature[0].nbytes for feature in computed.values())
                keeps = split.cache.enabled and split.cache.room_for(n_bytes * len(missing))
            for place, index in enumerate(batch.tolist() if keeps else []):
                store.keep(split, index, computed, place)
            if keeps:
                note_seconds(split, store, batch.tolist(), undecoded=undecoded, **each)
            yield batch.tolist(), {layer: torch.from_numpy(feature) for layer, feature in computed.items()}


def _patches(features: dict[str, torch.Tensor]) -> tuple[np.ndarray, tuple[int, int]]:
    """Feature maps (n, C, h, w) of some layers -> patches (n, P, sum of C) and the grid (height, width)."""
    height, width = min(
        (tuple(feature.shape[-2:]) for feature in features.values()), key=lambda size: size[0] * size[1]
    )
    side = NEIGHBORHOOD
    smooth = (F.avg_pool2d(feature.float(), side, stride=1, padding=side // 2) for feature in features.values())
    maps = torch.cat([F.adaptive_avg_pool2d(feature, (height, width)) for feature in smooth], dim=1)
    return maps.flatten(2).transpose(1, 2).numpy(), (height, width)  # (n, P, C)
