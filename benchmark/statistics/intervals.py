"""How sure the metrics of a row are: 95 % intervals over the test images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from benchmark.metrics.image import AT_FPR, AT_RECALL
from benchmark.statistics.auroc import Variance, image_variance, influences, seed_aurocs
from benchmark.statistics.bootstrap import row_values, sample_values
from benchmark.statistics.rates import CONFIDENCE, Interval, none_seen_bound
from benchmark.statistics.roc_points import fpr_interval, mean_interval, recall_interval
from benchmark.statistics.sample import Sample
from benchmark.statistics.weighted_curve import WeightedCurve


def auroc_interval(samples: Sequence[Sample]) -> Interval:
    """Of image AUROC, the mean over categories of the mean over seeds, were other test images drawn.

    DeLong's variance by :func:`effective_interval`. The lower end is never above what faultless test images allow:
    n images of the smaller class form n pairs that share no image, and all are in the right order by chance with a
    probability of at most AUROC to the power n, whatever the scores look like (the upper end likewise at 0).

    Of several categories, whose images are independent, the intervals are put together by the squares of their reach:
    Zou, Donner (2008), Construction of Confidence Limits about Effect Measures, https://doi.org/10.1002/sim.3095. Their
    variances alone would not do: of twelve nearly faultless ones a single one has any.

    Args:
        samples: A category each, with the same seeds.

    Returns:
        Low and high; 0 to 1 where a class has fewer than two images, or groups.
    """
    if any(min(sample.n_units) < 2 for sample in samples):
        return 0.0, 1.0
    values = [float(seed_aurocs(sample).mean()) for sample in samples]
    if len(samples) > 1:
        return mean_interval(values, [auroc_interval([sample]) for sample in samples])
    (sample,), (value,) = samples, values
    low, high = effective_interval(value, image_variance(sample, influences(sample)), most=sum(sample.n_units))
    slack = none_seen_bound(min(sample.n_units))
    return min(low, 1 - slack), max(high, slack)


def metric_intervals(samples: Sequence[Sample]) -> dict[str, Interval]:
    """Of every metric of a row, were other test images drawn; spread over seeds is apart from it.

    AUROC as :func:`auroc_interval`, points of the ROC curve as :mod:`benchmark.statistics.roc_points`, all others by
    :func:`effective_interval` with the variance of the stratified bootstrap. Maximal F1 is optimistic itself; its
    interval is that of the F1 which the best threshold would reach on new images.

    Args:
        samples: A category each.

    Returns:
        By name of a metric; one that has no value has no entry.
    """
    found = {name: _bootstrap_interval(samples, name) for name in _shared(samples)}
    if all(min(sample.n_units) > 0 for sample in samples):
        found["image_AUROC"] = auroc_interval(samples)
        points: list[tuple[str, Callable[[Sample], Interval]]] = [
            *((name, lambda sample, at=at: recall_interval(sample, fpr=at)) for name, at in AT_FPR.items()),
            *((name, lambda sample, at=at: fpr_interval(sample, recall=at)) for name, at in AT_RECALL.items()),
        ]
        for name, interval in points:
            values = [float(sample_values(sample)[name][:, 0].mean()) for sample in samples]
            found[name] = mean_interval(values, [interval(sample) for sample in samples])
    return {name: interval for name, interval in found.items() if interval is not None}


def effective_interval(value: float, variance: Variance, *, most: float = np.inf) -> Interval:
    """Of a share from 0 to 1 with a known variance, as if it were a count of independent images.

    The number n of images that would have this variance, ``value * (1 - value) / variance``; half an image is added to
    each side, as Haldane 1956 (https://doi.org/10.1111/j.1469-1809.1955.tb01285.x) does, and the interval is
    symmetric in log odds, with Student's quantile. Without the added halves it falls short of its promise near 1.

    Args:
        value: From 0 to 1.
        variance: With its degrees of freedom.
        most: Never more images than these.

    Returns:
        Low and high; both are the value where the variance is 0 and ``most`` is not given.
    """
    from scipy.special import expit, logit
    from scipy.stats import t

    n = value * (1 - value) / variance.value if variance.value > 0 else np.inf
    n = min(n, most)
    if not np.isfinite(n) or not np.isfinite(value):
        return value, value
    center = (n * value + 0.5) / (n + 1)
    free = variance.degrees_of_freedom if np.isfinite(variance.degrees_of_freedom) else np.inf
    reach = float(t.ppf((1 + CONFIDENCE) / 2, free)) / np.sqrt((n + 1) * center * (1 - center))
    low, high = expit(logit(center) + np.array([-reach, reach]))
    return (0.0 if value <= 0 else float(low)), (1.0 if value >= 1 else float(high))


def _bootstrap_interval(samples: Sequence[Sample], name: str) -> Interval | None:
    value, resamples = row_values(samples, name)
    held = resamples[np.isfinite(resamples)]
    if not np.isfinite(value) or len(held) < 2:
        return None
    smallest = len(samples) * min(min(sample.n_units) for sample in samples)
    spread = float(held.var(ddof=1))
    low, high = effective_interval(value, Variance(value=spread, doubt=spread**2 / max(smallest - 1, 1)))
    return min(low, _least_if_perfect(samples, name)), high


def _least_if_perfect(samples: Sequence[Sample], name: str) -> float:
    """What an image metric may be though no test image is on the wrong side, with 95 % confidence; 1 for others.

    As many good images as may go unseen come first and as many defective ones last, each with half of the error.
    """
    n_good, n_defective = (len(samples) * min(sample.n_units[label] for sample in samples) for label in (0, 1))
    alarms, missed = (none_seen_bound(n, confidence=(1 + CONFIDENCE) / 2) for n in (n_good, n_defective))
    counts = [alarms * n_good, (1 - missed) * n_defective, (1 - alarms) * n_good, missed * n_defective]
    curve = WeightedCurve(np.array([False, True, False, True]), np.array([3, 2, 1, 0]), np.array([counts]))
    least = {
        "image_AveragePrecision": curve.average_precision()[0],
        "image_F1Score": curve.f1()[0, 1],
        "image_F1Max": curve.f1().max(),
    }
    return float(least.get(name, 1.0))


def _shared(samples: Sequence[Sample]) -> list[str]:
    pixel = set.intersection(*(set(sample.pixel) for sample in samples))
    return ["image_AveragePrecision", "image_F1Score", "image_F1Max", *sorted(pixel)]
