"""How long one picture takes from a decoded tensor to score and map."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

STEADY = 0.05  # share of the median that the middle half of the times may span for fewer calls to do

if TYPE_CHECKING:
    import torch
    from anomalib.models import AnomalibModule


@dataclass(frozen=True)
class Latency:
    """Times of single pictures in ms."""

    latency_ms: float
    latency_p95_ms: float
    latency_batch_size: int
    latency_n: int


def measure_latency(
    model: AnomalibModule,
    image: torch.Tensor,
    *,
    warm_up: int = 3,
    enough: int = 10,
    repeats: int = 20,
    limit_s: float = 10.0,
) -> Latency:
    """Time pre-processor and network on one picture at a time; decoding and drawing are not part of it.

    Args:
        model: A fitted model on the device to be measured.
        image: `(3, H, W)`, values in [0, 1], already at the size that the data loader delivers.
        warm_up: Calls before the clock starts.
        enough: Calls timed at least, and no more where times are steady: the middle half within 5 % of the median.
        repeats: Calls timed otherwise, fewer when `limit_s` seconds are over (never fewer than five).
        limit_s: Seconds after which no further call is started.
    """
    import torch

    batch = image.unsqueeze(0).to(model.device)  # (1, 3, H, W)
    transform = getattr(model.pre_processor, "transform", None)
    model.eval()
    times: list[float] = []
    with torch.inference_mode():
        started = time.perf_counter()
        for call in range(warm_up + repeats):
            begin = time.perf_counter()
            model.model(transform(batch) if transform else batch)
            if batch.is_cuda:
                torch.cuda.synchronize()
            if call >= warm_up:
                times.append(time.perf_counter() - begin)
            if len(times) >= enough and is_steady(times):
                break
            if len(times) >= 5 and time.perf_counter() - started > limit_s:
                break
    p50, p95 = np.percentile(np.asarray(times) * 1000, [50, 95])
    return Latency(float(p50), float(p95), latency_batch_size=1, latency_n=len(times))


def is_steady(times: Sequence[float]) -> bool:
    """Whether the middle half of the times spans no more than `STEADY` of their median."""
    low, median, high = np.percentile(np.asarray(times), [25, 50, 75])
    return bool(high - low <= STEADY * median)
