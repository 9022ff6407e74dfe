"""Whether two rows make different errors at a requirement, on the same test images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.statistics.requirement import Requirement
from benchmark.statistics.sample import Sample
from benchmark.statistics.thresholds import Calibration, FittedThresholds, fit_thresholds


def errors(
    samples: Sequence[Sample], requirement: Requirement, *, calibration: Sequence[Calibration] | None = None
) -> np.ndarray:
    """Which images count against a row at a requirement, judged as in `operating_point`.

    With a limit on false alarms the missed defects count, with one on the missed the false alarms, with both what is
    unsure, with a cost every error.

    Returns:
        ``(N,)`` shares of the seeds, of the images of all categories in the order of their names.
    """
    known: Sequence[Calibration | None] = calibration or [None] * len(samples)
    return np.concatenate([_of_one(sample, requirement, one) for sample, one in zip(samples, known, strict=True)])


def mcnemar_p(first: np.ndarray, second: np.ndarray) -> float:
    """Exact two-sided McNemar test of errors on the same images.

    McNemar 1947, https://doi.org/10.1007/BF02295996. Of several seeds the discordant images are counted by the mean
    over seeds and rounded, so their spread plays no part.

    Args:
        first: ``(N,)`` from `errors`.
        second: ``(N,)`` of the same images.
    """
    from statsmodels.stats.contingency_tables import mcnemar

    gap = first - second
    one, other = round(float(gap[gap > 0].sum())), round(float(-gap[gap < 0].sum()))
    return float(mcnemar([[0, one], [other, 0]], exact=True).pvalue) if one + other else 1.0


def _of_one(sample: Sample, requirement: Requirement, calibration: Calibration | None) -> np.ndarray:
    truth, wrong = sample.labels.astype(bool), np.zeros(sample.scores.shape)
    for fold in (0, 1):
        here = sample.folds == fold
        for seed, values in enumerate(sample.scores):
            if calibration is None:
                fitted = fit_thresholds(truth[~here], values[~here], requirement)
            else:
                fitted = fit_thresholds(calibration.labels, calibration.scores[seed], requirement)
            wrong[seed, here] = _wrong(truth[here], values[here], fitted, requirement)
    return wrong.mean(axis=0)[np.argsort(sample.ids)]


def _wrong(
    truth: np.ndarray, values: np.ndarray, fitted: FittedThresholds, requirement: Requirement
) -> np.ndarray | float:
    if fitted.lower is None or fitted.upper is None:
        return 0.0
    good, defective = values < fitted.lower, values >= fitted.upper
    if requirement.has_band:
        return ~good & ~defective
    missed, alarms = good & truth, defective & ~truth
    if requirement.cost is not None:
        return missed | alarms
    return missed if requirement.max_false_alarms is not None else alarms
