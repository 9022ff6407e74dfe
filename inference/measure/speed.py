"""How fast something computes: images a second and latency, measured for some seconds."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Speed:
    """Images a second, and from handing over a batch to its result, in ms."""

    n: int
    images_per_second: float
    latency_p50_ms: float
    latency_p95_ms: float


def network_speed(compiled: Any, inputs: np.ndarray, seconds: float) -> Speed:
    """The compiled network alone on the same images again and again, all its requests at work."""
    n_requests = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    requests = deque(compiled.create_infer_request() for _ in range(n_requests))
    for request in requests:
        request.infer([inputs], share_inputs=True)
    at_work: deque[tuple[Any, float]] = deque()
    latencies: list[float] = []
    started = time.perf_counter()
    while time.perf_counter() - started < seconds or at_work:
        if requests and time.perf_counter() - started < seconds:
            request = requests.popleft()
            at_work.append((request, time.perf_counter()))
            request.start_async([inputs], share_inputs=True)
            continue
        request, handed_over = at_work.popleft()
        request.wait()
        latencies.append(time.perf_counter() - handed_over)
        requests.append(request)
    return speed_of(len(latencies) * len(inputs), time.perf_counter() - started, latencies)


def timed_loop(work: Callable[[Any], object], items: Sequence[Any], seconds: float) -> Speed:
    """One item after the other, as often as the seconds ask for."""
    work(items[0])
    latencies: list[float] = []
    started = time.perf_counter()
    while time.perf_counter() - started < seconds or len(latencies) < len(items):
        one = time.perf_counter()
        work(items[len(latencies) % len(items)])
        latencies.append(time.perf_counter() - one)
    return speed_of(len(latencies), time.perf_counter() - started, latencies)


def speed_of(n: int, seconds: float, latencies: Sequence[float]) -> Speed:
    """From so many images in so many seconds, and the seconds that each batch took."""
    p50, p95 = (float(np.quantile(latencies, share)) * 1000 for share in (0.5, 0.95))
    return Speed(n, n / seconds, p50, p95)
