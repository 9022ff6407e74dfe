"""How long one image takes from a decoded tensor to score and map."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.records.record_sections import Speed

if TYPE_CHECKING:
    import torch
    from anomalib.models import AnomalibModule


def measure_latency(model: AnomalibModule, image: torch.Tensor, **timing: Any) -> Speed:
    """Time pre-processor and network alone in a run, whatever else the machine does; arguments of `time_images`."""
    times = time_images(model, image, **timing)
    p50, p95 = np.percentile(times, [50, 95])
    return Speed(
        latency_ms=float(p50),
        latency_p95_ms=float(p95),
        latency_batch_size=1,
        latency_n=len(times),
        latency_session=None,
        latency_device=device_name(model.device),
    )


def time_images(
    model: AnomalibModule,
    image: torch.Tensor,
    *,
    warm_up: int = 2,
    enough: int = 10,
    repeats: int = 20,
    enough_s: float = 0.5,
    limit_s: float = 10.0,
    n_views: int = 1,
    transform: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> list[float]:
    """Time pre-processor and network on one image at a time, ms; decoding and drawing are not part of it.

    Of a model that was trained on tiles it is a whole image that is timed: all of its tiles, and their stitching; one
    is enough, and one to warm up, where they take longer than `limit_s`.

    Args:
        model: A fitted model on the device to be measured.
        image: `(3, H, W)`, values in [0, 1], already at the size that the data loader delivers.
        warm_up: Calls before the clock starts.
        enough: Calls that are timed of a model that is not fast.
        repeats: Calls that are timed at most, if they fit into `enough_s` seconds.
        enough_s: Seconds after which no more than `enough` calls are timed.
        limit_s: Seconds after which five are enough.
        transform: What is left to do to the image; None does what the model's pre-processor does.
        n_views: How often the model sees an image; drawing and merging its views are not part of it.
    """
    import torch

    from extensions.models.common.tiled_scoring import raw_scores, tiling_of

    batch = image.unsqueeze(0).to(model.device)  # (1, 3, H, W)
    is_whole = tiling_of(model) is not None  # all tiles of an image and their stitching are its time
    warm_up, fewest = (1, 1) if is_whole else (warm_up, 5)  # one may take a minute
    transform = transform or getattr(model.pre_processor, "transform", None)
    model.eval()
    times: list[float] = []
    with torch.inference_mode():
        started = time.perf_counter()
        for call in range(warm_up + repeats):
            begin = time.perf_counter()
            for _ in range(n_views):
                if is_whole:
                    raw_scores(model, batch)
                else:
                    model.model(transform(batch) if transform else batch)
            if batch.is_cuda:
                torch.cuda.synchronize()
            if call >= warm_up:
                times.append((time.perf_counter() - begin) * 1000)
            taken = time.perf_counter() - started
            if (len(times) >= enough and taken > enough_s) or (len(times) >= fewest and taken > limit_s):
                break
    return times


@contextmanager
def moved_to(device: str, model: AnomalibModule) -> Iterator[None]:
    """The model on this device inside the block, as torch names devices, and then back where it was."""
    before = model.device
    model.to(device)
    try:
        yield
    finally:
        model.to(before)


def device_name(device: torch.device | str) -> str:
    """Name of the GPU, or `cpu`."""
    import torch

    return "cpu" if str(device) == "cpu" else torch.cuda.get_device_name(device)
