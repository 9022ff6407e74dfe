"""What a detector does at a requirement in each resample of its images, with thresholds fitted anew in each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.metrics.curves import ROUNDING
from benchmark.statistics.auroc import Variance
from benchmark.statistics.bootstrap import kept_counts
from benchmark.statistics.comparison import shifted_p, with_spread
from benchmark.statistics.costs import expected_cost
from benchmark.statistics.part_ends import part_ends
from benchmark.statistics.requirement import Requirement
from benchmark.statistics.sample import Sample
from benchmark.statistics.thresholds import Calibration
from benchmark.statistics.weighted_curve import WeightedCurve


def errors_p(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sided p that two detectors are alike in what a requirement counts: a paired bootstrap of the test images.

    Thresholds are fitted anew in each resample, for where they lie is as much chance as the images that are judged: a
    test of the errors at fixed thresholds, such as McNemar's, tells every third pair of equal detectors apart at 5 %.
    With two seeds or more of each their variance is added.

    Args:
        first: ``(S, 1 + B)`` from `resampled_errors`.
        second: Likewise, of the same images; its seeds may be other ones.

    Returns:
        1 where either has no value.
    """
    drawn = first.mean(axis=0) - second.mean(axis=0)
    difference, drawn = float(drawn[0]), drawn[1:][np.isfinite(drawn[1:])]
    if not np.isfinite(difference) or not len(drawn):
        return 1.0
    spread = Variance(value=0.0, doubt=0.0)
    if min(len(first), len(second)) > 1:
        parts = [(float(one[:, 0].var(ddof=1)) / len(one), len(one) - 1) for one in (first, second)]
        spread = Variance(value=sum(v for v, _ in parts), doubt=sum(v**2 / free for v, free in parts))
    return shifted_p(difference, with_spread(drawn, spread))


def resampled_errors(
    samples: Sequence[Sample], requirement: Requirement, *, calibration: Sequence[Calibration] | None = None
) -> np.ndarray:
    """What a requirement counts, judged as in `operating_point`, on the images themselves and in each resample.

    Returns:
        ``(S, 1 + B)``: with a limit on false alarms the share of defective images missed, with one on the missed the
        share of good ones that are false alarms, with both the share that is unsure, with a cost that of a part. NaN
        where a threshold cannot be fitted. Of equal costs any threshold may be taken that costs least.
    """
    known: Sequence[Calibration | None] = calibration or [None] * len(samples)
    counts = sum(_counts(sample, requirement, one) for sample, one in zip(samples, known, strict=True))
    missed, alarms, unsure = np.moveaxis(np.asarray(counts), 1, 0)
    n_defective, n_good = sum(one.n_defective for one in samples), sum(one.n_good for one in samples)
    if requirement.has_band:
        return unsure / (n_defective + n_good)
    with np.errstate(invalid="ignore", divide="ignore"):
        if requirement.cost is not None:
            return expected_cost(missed / n_defective, alarms / n_good, requirement.cost)
        return missed / n_defective if requirement.max_false_alarms is not None else alarms / n_good


def _counts(sample: Sample, requirement: Requirement, calibration: Calibration | None) -> np.ndarray:
    """Missed, false alarms and unsure of each seed, ``(S, 3, 1 + B)``."""
    truth, drawn = sample.labels == 1, kept_counts(sample.labels, sample.ids, sample.groups)
    if calibration is not None:
        known = calibration.labels == 1
        names = tuple(f"calibration/{place}" for place in range(len(known)))
        counts = kept_counts(calibration.labels, names, calibration.groups)
        fitted = [
            WeightedCurve(known, scores, _ranked(counts, known, scores, calibration.groups, requirement))
            for scores in calibration.scores
        ]
        judged = [WeightedCurve(truth, scores, drawn) for scores in sample.scores]
        return np.array([_judged(one, other, requirement) for one, other in zip(fitted, judged, strict=True)])
    halves = [sample.folds == fold for fold in (0, 1)]
    if not all(half.any() for half in halves):
        return np.full((sample.n_seeds, 3, drawn.shape[0]), np.nan)
    found = []
    for scores in sample.scores:
        ranked = _ranked(drawn, truth, scores, sample.groups, requirement)  # a part is within one half
        fitted = [WeightedCurve(truth[half], scores[half], ranked[:, half]) for half in halves]
        judged = [WeightedCurve(truth[half], scores[half], drawn[:, half]) for half in halves]
        found.append(_judged(fitted[0], judged[1], requirement) + _judged(fitted[1], judged[0], requirement))
    return np.array(found)


def _ranked(
    counts: np.ndarray,
    truth: np.ndarray,
    scores: np.ndarray,
    groups: tuple[str, ...] | None,
    requirement: Requirement,
) -> np.ndarray:
    """How often each image counts in the rank that a rate is kept by: of each part one good and one defective."""
    if groups is None or requirement.cost is not None:
        return counts
    return counts * part_ends(truth, scores, groups)


def _judged(fitted: WeightedCurve, judged: WeightedCurve, requirement: Requirement) -> np.ndarray:
    """Missed, false alarms and unsure on one curve at the thresholds of another, ``(3, 1 + B)``."""
    lower, upper = _thresholds(fitted, requirement)
    (found, called_unsure), (surely, called) = judged.called_at(lower), judged.called_at(upper)
    counts = np.array([judged.n_positives - found, called, found + called_unsure - surely - called])
    return np.where(np.isfinite(lower), counts, np.nan)


def _thresholds(curve: WeightedCurve, requirement: Requirement) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ``(1 + B,)``, as `fit_thresholds` has them; NaN without the images that they need."""
    if requirement.cost is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            missed = 1 - _from_none(curve.true_positives) / curve.n_positives[:, None]
            alarms = _from_none(curve.false_positives) / curve.n_negatives[:, None]
        cost = expected_cost(missed, alarms, requirement.cost)
        lowest = np.isnan(cost).any(axis=1)
        called = np.where(lowest, 0, np.argmin(np.nan_to_num(cost), axis=1))
        both = np.where(lowest, np.nan, _below(curve)[called])
        return both, both
    bounds = []
    if (rate := requirement.max_missed) is not None:
        n = curve.n_positives
        j = np.floor((n + 1) * rate + ROUNDING)  # the j-th smallest is the (n + 1 - j)-th largest
        enough = _from_none(curve.true_positives) >= (n + 1 - np.maximum(j, 1))[:, None]
        bounds.append(np.where(n > 0, _below(curve)[np.argmax(enough, axis=1)], np.nan))
    if (rate := requirement.max_false_alarms) is not None:
        n = curve.n_negatives
        k = np.ceil((n + 1) * (1 - rate) - ROUNDING)
        few = _from_none(curve.false_positives) <= np.maximum(n - k, 0)[:, None]
        last = few.shape[1] - 1 - np.argmax(few[:, ::-1], axis=1)
        bounds.append(np.where(n > 0, _below(curve)[last], np.nan))
    lower, upper = bounds[0], bounds[-1]
    middle = upper / 2 + lower / 2
    return np.where(lower > upper, middle, lower), np.where(lower > upper, middle, upper)


def _from_none(counts: np.ndarray) -> np.ndarray:
    """Counts from a threshold above all scores on, ``(1 + B, 1 + K)``."""
    return np.hstack([np.zeros((len(counts), 1)), counts])


def _below(curve: WeightedCurve) -> np.ndarray:
    """The threshold that calls the k highest of the distinct scores, k = 0 to K: halfway to the next, ``(1 + K,)``."""
    scores = curve.thresholds
    stand_off = 1e-3 * np.ptp(scores) or 1e-9
    return np.concatenate([[scores[0] + stand_off], (scores[:-1] + scores[1:]) / 2, [scores[-1] - stand_off]])
