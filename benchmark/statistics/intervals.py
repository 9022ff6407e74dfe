"""How sure the metrics of a row are: 95 % intervals over the test images."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.statistics.rates import binomial_interval, none_seen_bound
from benchmark.statistics.sample import Sample

__all__ = ["Interval", "auroc_interval", "binomial_interval", "metric_intervals", "none_seen_bound"]

Interval = tuple[float, float]


def auroc_interval(samples: Sequence[Sample]) -> Interval:
    """Of the mean over categories of the mean over seeds of image AUROC."""
    raise NotImplementedError


def metric_intervals(samples: Sequence[Sample]) -> dict[str, Interval]:
    """By name of a metric; one that has no value has no entry."""
    raise NotImplementedError
