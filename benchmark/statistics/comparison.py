"""Which of two detectors is better on the same test images, and which ranks cannot be told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.statistics.auroc import Variance, image_variance, influences, mean_variance, seed_aurocs
from benchmark.statistics.bootstrap import row_values, sample_values
from benchmark.statistics.rates import CONFIDENCE, none_seen_bound
from benchmark.statistics.sample import Sample

DELONG, BOOTSTRAP = "DeLong", "paired bootstrap"
ONE_SEED = "one seed: spread over seeds is not in the interval"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """First less second, of one metric.

    Attributes:
        metric: Its name, such as ``image_AUROC``.
        difference: In the metric's own unit; NaN where either has no value. Of pixel metrics the mean over resamples.
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
    """Compare two rows on the same categories and test images.

    Image AUROC by DeLong's test for paired curves (DeLong et al. 1988, https://doi.org/10.2307/2531595) on the mean
    over seeds; every other metric by the resamples that both share. In both the variance of the mean over seeds is
    added where each has at least two seeds, for a fit with another seed is as much chance as another test image.

    Differs from DeLong et al.: with seeds Student's quantile replaces the normal one (Satterthwaite). Where no image
    makes a difference, which leaves a variance of 0, the interval is what n pairs that share no image cannot show.

    Args:
        first: A category each.
        second: The same categories in the same order, of the same images in any order.
        metric: ``image_AUROC``, another of :data:`benchmark.statistics.bootstrap.IMAGE_METRICS`, or a pixel metric
            that the samples of both have.

    Raises:
        ValueError: The numbers of categories, the images or their labels or groups differ, or a sample lacks the
            metric.
    """
    if len(first) != len(second):
        msg = f"compare got rows of {len(first)} and {len(second)} categories; expected the same categories."
        raise ValueError(msg)
    orders = [_order(one, other) for one, other in zip(first, second, strict=True)]
    seeds = min(sample.n_seeds for sample in (*first, *second))
    spread = mean_variance([_seed_variance(one, other, metric) for one, other in zip(first, second, strict=True)])
    if metric == "image_AUROC":
        difference, low, high, p = _delong(first, second, orders, spread)
    else:
        difference, low, high, p = _paired_bootstrap(first, second, metric, spread)
    return Difference(
        metric=metric,
        difference=difference,
        low=low,
        high=high,
        p=p,
        method=DELONG if metric == "image_AUROC" else BOOTSTRAP,
        n_images=sum(len(sample.ids) for sample in first),
        n_seeds=seeds,
        note=ONE_SEED if seeds < 2 else "",
    )


def _order(first: Sample, second: Sample) -> np.ndarray:
    """Where the images of the first stand in the second, ``(N,)``."""
    place = {name: i for i, name in enumerate(second.ids)}
    if set(first.ids) != set(place):
        apart = sorted(set(first.ids) ^ set(place))
        msg = (
            f"The two were not tested on the same images: {len(apart)} are of one alone, such as {apart[0]}; "
            "a paired comparison needs the same test images."
        )
        raise ValueError(msg)
    order = np.array([place[name] for name in first.ids])
    same_groups = (first.groups or ()) == tuple(second.groups[i] for i in order) if second.groups else not first.groups
    if (first.labels != second.labels[order]).any() or not same_groups:
        msg = "The two have the same test images with other labels or groups; a paired comparison needs the same ones."
        raise ValueError(msg)
    return order


Found = tuple[float, float, float, float]
"""Difference, low, high, p."""


def _delong(first: Sequence[Sample], second: Sequence[Sample], orders: Sequence[np.ndarray], spread: Variance) -> Found:
    from scipy.stats import t

    difference = float(
        np.mean([seed_aurocs(a).mean() - seed_aurocs(b).mean() for a, b in zip(first, second, strict=True)])
    )
    if not np.isfinite(difference):
        return (np.nan,) * 4
    images = mean_variance(
        [
            image_variance(one, influences(one) - influences(other)[order])
            for one, other, order in zip(first, second, orders, strict=True)
        ]
    )
    value = images.value + spread.value
    if value < 1e-18:
        n_pairs = _n_pairs(first)
        slack = none_seen_bound(n_pairs)
        return difference, difference - slack, difference + slack, (1 - abs(difference)) ** n_pairs
    # The variance over images is taken as known, as DeLong et al. do; that over a few seeds is not.
    free = Variance(value=value, doubt=spread.doubt).degrees_of_freedom
    reach = float(t.ppf((1 + CONFIDENCE) / 2, free) * np.sqrt(value))
    p = float(2 * t.sf(abs(difference) / np.sqrt(value), free))
    return difference, difference - reach, difference + reach, p


def _paired_bootstrap(first: Sequence[Sample], second: Sequence[Sample], metric: str, spread: Variance) -> Found:
    lacking = [sample for sample in (*first, *second) if metric not in sample_values(sample)]
    if lacking:
        msg = f"A sample has no {metric}; expected one of {', '.join(sample_values(lacking[0]))}."
        raise ValueError(msg)
    (value, drawn), (other_value, other_drawn) = row_values(first, metric), row_values(second, metric)
    difference, drawn = value - other_value, drawn - other_drawn
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(difference) or not len(drawn):
        return (np.nan,) * 4
    drawn = with_spread(drawn, spread)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    if high - low < 1e-9:
        slack = none_seen_bound(_n_pairs(first))
        low, high = difference - slack, difference + slack
    return float(difference), float(low), float(high), shifted_p(float(difference), drawn)


def shifted_p(difference: float, drawn: np.ndarray) -> float:
    """Two-sided p of a paired bootstrap: resamples shifted to no difference, beyond all of them a normal distribution.

    Without the latter 1,000 resamples could show no p below 0.001, and Holm's correction over 50 pairs would tell none
    apart.

    Args:
        difference: On the images themselves.
        drawn: ``(B,)`` in the resamples, finite.
    """
    from scipy.stats import norm

    # A rounding error apart is not apart.
    as_far = int((np.abs(drawn - difference) >= abs(difference) - 1e-9).sum())
    p = min(1.0, (1 + as_far) / (1 + len(drawn)))
    if not as_far and (spread := float(drawn.std())) > 1e-9:
        p = min(p, float(2 * norm.sf(abs(difference) / spread)))
    return p


def with_spread(drawn: np.ndarray, spread: Variance) -> np.ndarray:
    """Differences in resamples ``(B,)`` with the spread over seeds added."""
    if not spread.value:
        return drawn
    return drawn + np.sqrt(spread.value) * _students(len(drawn), spread.degrees_of_freedom)


def _n_pairs(row: Sequence[Sample]) -> int:
    """Pairs of a good and a defective image that share none, in as many categories as large as the smallest."""
    return len(row) * min(min(sample.n_units) for sample in row)


def _students(n: int, degrees_of_freedom: float) -> np.ndarray:
    """Quantiles of Student's distribution in a fixed shuffled order, ``(n,)``: noise with no chance of its own."""
    from scipy.stats import t

    order = np.random.default_rng(0).permutation(n)
    return t.ppf((order + 0.5) / n, degrees_of_freedom)


def _seed_variance(first: Sample, second: Sample, metric: str) -> Variance:
    """Of the difference of two means over seeds, on these very images; 0 where either has one seed."""
    if min(first.n_seeds, second.n_seeds) < 2:
        return Variance(value=0.0, doubt=0.0)
    parts = []
    for sample in (first, second):
        values = seed_aurocs(sample) if metric == "image_AUROC" else sample_values(sample)[metric][:, 0]
        parts.append((float(values.var(ddof=1)) / len(values), len(values) - 1))
    return Variance(value=sum(part for part, _ in parts), doubt=sum(part**2 / free for part, free in parts))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order of the input; NaN stays NaN and is no comparison.

    Holm 1979, https://www.jstor.org/stable/4615733, by statsmodels.
    """
    from statsmodels.stats.multitest import multipletests

    p = np.asarray(p_values, dtype=np.float64)
    known = np.isfinite(p)
    if known.any():
        p[known] = multipletests(p[known], method="holm")[1]
    return p.tolist()


def rank_ranges(
    names: Sequence[str], means: Sequence[float], *, told_apart: Mapping[frozenset[str], bool]
) -> dict[str, str]:
    """By name its place, ``1``, or ``1–3`` where it cannot be told from others; higher means come first.

    The first place is one more than the number of rows that are surely better, the last the number of rows less those
    that are surely worse.

    Args:
        names: Of the rows.
        means: ``(len(names),)``.
        told_apart: By pair of names; a pair that is missing is not told apart.
    """
    mean_of = dict(zip(names, means, strict=True))
    found = {}
    for name in names:
        apart = [other for other in names if other != name and told_apart.get(frozenset((name, other)), False)]
        first = 1 + sum(mean_of[other] > mean_of[name] for other in apart)
        last = len(names) - sum(mean_of[other] < mean_of[name] for other in apart)
        found[name] = f"{first}" if first == last else f"{first}–{last}"
    return found
