"""How sure a point of the ROC curve is: bounds from ranks, for a bootstrap cannot see beyond the last image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.metrics.curves import ROUNDING
from benchmark.statistics.rates import CONFIDENCE, Interval, binomial_interval
from benchmark.statistics.sample import Sample


def recall_interval(sample: Sample, *, fpr: float) -> Interval:
    """Of the recall at a false positive rate of the good images of the line, not of the test images alone.

    Two things are uncertain: where the threshold lies, whose bounds are ranks of good scores, and the share of
    defective images from there up (Clopper-Pearson). Their distances from the value add in squares, as in
    :func:`mean_interval`. With few good images the lower end is 0: none of them shows where a rate of 1 % lies. With
    groups the numbers of groups count. Over seeds the ends are averaged.

    Args:
        sample: With images of both classes.
        fpr: From 0 to 1.
    """
    good, defective = sample.scores[:, sample.labels == 0], sample.scores[:, sample.labels == 1]
    ends = [_ends(first, second, rate=fpr, units=sample.n_units) for first, second in zip(good, defective, strict=True)]
    low, high = np.mean(ends, axis=0)
    return float(low), float(high)


def fpr_interval(sample: Sample, *, recall: float) -> Interval:
    """Of the false positive rate at a recall, as :func:`recall_interval` with the classes and the order turned round.

    Args:
        sample: With images of both classes.
        recall: From 0 to 1; at 1 the upper end is 1, for no number of defective images shows the faintest of all.
    """
    good, defective = -sample.scores[:, sample.labels == 0], -sample.scores[:, sample.labels == 1]
    ends = [
        _ends(first, second, rate=1 - recall, units=sample.n_units[::-1])
        for first, second in zip(defective, good, strict=True)
    ]
    low, high = 1 - np.mean(ends, axis=0)[::-1]
    return float(low), float(high)


def _ends(first: np.ndarray, second: np.ndarray, *, rate: float, units: tuple[int, int]) -> Interval:
    """Bounds of the share of ``second`` above the threshold that a share ``rate`` of ``first`` is above.

    Args:
        first: Scores that place the threshold.
        second: Scores that are judged.
        rate: Share of ``first`` at or above the threshold.
        units: Independent ones of ``first`` and of ``second``.
    """
    from scipy.stats import binom

    tail = (1 - CONFIDENCE) / 2
    descending = np.append(np.sort(first)[::-1], -np.inf)
    share = len(first) / units[0]
    # Of all scores, between few and many are likely above the true threshold; on these images `allowed` may be.
    few, many = (int(np.ceil(binom.ppf(at, units[0], rate) * share)) for at in (tail, 1 - tail))
    allowed = int(np.floor(rate * len(first) + ROUNDING))
    strict = descending[few - 1] if few else np.inf
    # Ties at the threshold are called alike, so what is allowed lies above the next score.
    least, value, most = (
        float(np.mean(second > strict)),
        float(np.mean(second > descending[min(allowed, len(first))])),
        float(np.mean(second >= descending[min(many, len(first))])),
    )
    low, high = binomial_interval(value * units[1], units[1])
    down, up = np.hypot(value - min(least, value), value - low), np.hypot(max(most, value) - value, high - value)
    return max(0.0, value - float(down)), min(1.0, value + float(up))


def mean_interval(values: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """Of the mean of independent numbers from the interval of each, none wider than their mean.

    Zou and Donner 2008, https://doi.org/10.1002/sim.3095: distances from value to end add in squares.
    """
    value, ends = np.asarray(values), np.asarray(intervals)
    low = np.sqrt(np.square(np.maximum(value - ends[:, 0], 0)).sum()) / len(value)
    high = np.sqrt(np.square(np.maximum(ends[:, 1] - value, 0)).sum()) / len(value)
    return float(value.mean() - low), float(value.mean() + high)
