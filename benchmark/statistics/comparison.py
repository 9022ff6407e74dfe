"""Which of two detectors is better on the same test images, and which ranks cannot be told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.statistics.sample import Sample


@dataclass(frozen=True, kw_only=True)
class Difference:
    """First less second, of one metric.

    Attributes:
        metric: Its name, such as ``image_AUROC``.
        difference: In the metric's own unit; NaN where either has no value.
        low: Of the 95 % interval.
        high: Likewise.
        p: Two-sided, that of no difference; not adjusted for the number of comparisons.
        method: ``DeLong`` or ``paired bootstrap``, as a person reads it.
        n_images: On so many test images, of all categories.
        n_seeds: The fewest that either has in a category.
        note: What the interval cannot take into account; else empty.
    """

    metric: str
    difference: float
    low: float
    high: float
    p: float
    method: str
    n_images: int
    n_seeds: int
    note: str = ""


def compare(first: Sequence[Sample], second: Sequence[Sample], *, metric: str) -> Difference:
    """Compare two rows on the same categories and test images."""
    raise NotImplementedError


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order of the input; NaN stays NaN and is no comparison."""
    raise NotImplementedError


def rank_ranges(
    names: Sequence[str], means: Sequence[float], *, told_apart: Mapping[frozenset[str], bool]
) -> dict[str, str]:
    """By name its place, ``1``, or ``1–3`` where it cannot be told from others; higher means come first.

    Args:
        names: Of the rows.
        means: ``(len(names),)``.
        told_apart: By pair of names; a pair that is missing is not told apart.
    """
    raise NotImplementedError
