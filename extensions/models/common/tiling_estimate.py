"""What training and testing on tiles will take, told before it begins, and refused where it cannot fit."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import torch

from extensions.cache.location import open_cache
from extensions.data.datamodules.tiles import sizes_of
from extensions.data.tiling.settings import Tiling
from extensions.data.tiling.stitching import tiles_at_once
from extensions.models.common.gradient_training import is_trained_by_gradient

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule

IMAGE_BYTES = 45  # a pixel of one image while it is scored: decoded, as float32 and in a batch, its map and mask
METRIC_BYTES = 50  # a pixel of it, at most `METRIC_PIXELS` of them, while pixel metrics count it
METRIC_PIXELS = 2**22
KEPT_BYTES = 40  # a pixel of all test images under anomalib's own pixel metrics and thresholds, which keep each
BACKWARD = 3  # a step of training takes about three times a forward pass


@dataclass(frozen=True)
class TilingCost:
    """An estimate.

    Attributes:
        n_images: Of the training set.
        n_tiles: Of these.
        n_test_tiles: Of the test set.
        memory: Bytes beside those of the process and its model as they are now.
        kept: Bytes of these that anomalib's own metrics and thresholds keep.
        disk: Bytes for decoded training images, and what the fit puts into a file.
        seconds: Of the backbone alone, in training and test; None for a model without one.
    """

    n_images: int
    n_tiles: int
    n_test_tiles: int
    memory: int
    kept: int
    disk: int
    seconds: float | None

    def sentence(self, tiling: Tiling) -> str:
        """For a person."""
        took = "" if self.seconds is None else f", the backbone about {_minutes(self.seconds)}"
        return (
            f"{tiling.told}: {self.n_tiles} from {self.n_images} training images, {self.n_test_tiles} to test; needs "
            f"about {_gigabytes(self.memory)} of memory and {_gigabytes(self.disk)} of disk{took}"
        )

    def check(self, *, memory: int, disk: int) -> None:
        """Refuse what cannot fit.

        Args:
            memory: Bytes that are available.
            disk: Bytes that are free where the cache lies.

        Raises:
            ValueError: It says what is needed, what there is, and what to do.
        """
        if self.memory > memory:
            remedy = "take fewer training images or a smaller overlap, or set tiling.resize"
            if self.kept > self.memory // 2:
                remedy = (
                    f"{_gigabytes(self.kept)} of it are for anomalib's own pixel metrics, which keep every pixel: give "
                    "the model evaluator=False and post_processor=False, or run it by `workbench run`, whose own do not"
                )
            msg = (
                f"{self.n_tiles} tiles need about {_gigabytes(self.memory)} of memory, and {_gigabytes(memory)} are "
                f"free: {remedy}"
            )
            raise ValueError(msg)
        if self.disk > disk:
            msg = (
                f"{self.n_tiles} tiles need about {_gigabytes(self.disk)} of disk, and {_gigabytes(disk)} are free for "
                "the cache: set $WORKBENCH_CACHE to a folder that has room, take fewer images, or set tiling.resize"
            )
            raise ValueError(msg)


def estimate(model: AnomalibModule, datamodule: Any, *, epochs: int = 1, validates: bool = True) -> TilingCost:
    """What a fit and a test will take.

    Args:
        model: One of ours, with its tiling.
        datamodule: Set up.
        epochs: Of a model that is trained by gradient.
        validates: Whether the fit validates on whole images, for anomalib's thresholds.
    """
    tiling: Tiling = model.imaging.tiling
    train, test, val = (_sizes(getattr(datamodule, f"{name}_data", None)) for name in ("train", "test", "val"))
    n_tiles, n_test = (sum(len(tiling.grid(size)) for size in sizes) for sizes in (train, test))
    pixels = [height * width for height, width in map(tiling.size_of, test)]
    kept = 0
    if getattr(model, "evaluator", None) is not None:
        kept += KEPT_BYTES * sum(pixels)
    if validates and getattr(model, "post_processor", None) is not None:
        kept += KEPT_BYTES * sum(height * width for height, width in map(tiling.size_of, val))
    largest = max(pixels, default=0)
    whole = IMAGE_BYTES * largest + METRIC_BYTES * min(largest, METRIC_PIXELS)
    seconds, activations, (fitted, in_file) = _of_backbone(model, tiling, n_tiles)
    by_gradient = is_trained_by_gradient(model)
    batch = datamodule.train_batch_size * activations * (2 if by_gradient else 1) // (1 if by_gradient else 4)
    passes = n_tiles * (epochs * BACKWARD if by_gradient else 1) + n_test
    decoded = sum(3 * height * width for height, width in map(tiling.size_of, train))
    return TilingCost(
        n_images=len(train),
        n_tiles=n_tiles,
        n_test_tiles=n_test,
        memory=max(whole, batch) + fitted + kept,
        kept=kept,
        disk=decoded + in_file,
        seconds=None if seconds is None else seconds * passes,
    )


def room() -> tuple[int, int]:
    """Bytes of memory that are available, and of disk that the cache may take."""
    memory = psutil.virtual_memory().available
    with suppress(OSError, ValueError):  # of a container; there may be no such limit
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    cache = open_cache()
    if cache.folder is None:
        return memory, shutil.disk_usage(tempfile.gettempdir()).free
    of_cache = sum(info.n_bytes for info in cache.info())
    return memory, min(cache.limit, shutil.disk_usage(cache.folder).free + of_cache)


def _sizes(split: Any) -> list[tuple[int, int]]:
    return (
        []
        if split is None
        else list(sizes_of(split.samples["image_path"].astype(str).tolist(), split.imaging).values())
    )


def _of_backbone(model: AnomalibModule, tiling: Tiling, n_tiles: int) -> tuple[float | None, int, tuple[int, int]]:
    """Seconds and bytes of all activations a tile, and what a fit to so many keeps in memory and in a file."""
    extractor = getattr(model.model, getattr(model, "extractor_name", ""), None)
    if extractor is None:
        return None, 0, (0, 0)
    n = min(4, tiles_at_once(tiling.tile))
    tiles = torch.zeros(n, model.imaging.n_channels, *tiling.tile, device=model.device)
    transform = getattr(model.pre_processor, "transform", None)
    tensor = next((one for one in extractor.parameters()), tiles)
    tiles = (tiles if transform is None else transform(tiles)).to(tensor.dtype)
    n_bytes: list[int] = []
    leaves = [one for one in extractor.modules() if not list(one.children())]
    hooks = [one.register_forward_hook(lambda _, __, out: n_bytes.append(_bytes_of(out))) for one in leaves]
    try:
        with torch.no_grad():
            extractor(tiles)
            for hook in hooks:
                hook.remove()
            started = time.perf_counter()
            features = extractor(tiles)
            seconds = (time.perf_counter() - started) / n
    finally:
        for hook in hooks:
            hook.remove()
    kept = model.bytes_of_fit(n_tiles, {name: tuple(one.shape[1:]) for name, one in features.items()})
    return seconds, sum(n_bytes) // n, kept


def _bytes_of(output: Any) -> int:
    return int(output.nbytes) if isinstance(output, torch.Tensor) else 0


def _gigabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.0f} MB"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
