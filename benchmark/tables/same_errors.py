"""Whether two rows make different errors at a requirement, on the same test images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.statistics.requirement import Requirement
from benchmark.statistics.sample import Sample
from benchmark.statistics.thresholds import fit_thresholds


def errors(samples: Sequence[Sample], requirement: Requirement) -> np.ndarray:
    """Which images count against a row at a requirement, each half judged by the thresholds of the other.

    With a limit on false alarms the missed defects count, with one on the missed the false alarms, with both what is
    unsure, with a cost every error.

    Returns:
        ``(N,)`` shares of the seeds, of the images of all categories in the order of their names.
    """
    return np.concatenate([_of_one(sample, requirement) for sample in samples])


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


def _of_one(sample: Sample, requirement: Requirement) -> np.ndarray:
    truth, folds = sample.labels.astype(bool), sample.folds
    wrong = np.zeros(sample.scores.shape)
    for fold in (0, 1):
        here = folds == fold
        for seed, values in enumerate(sample.scores):
            fitted = fit_thresholds(truth[~here], values[~here], requirement)
            if fitted.lower is None or fitted.upper is None:
                continue
            good, defective = values[here] < fitted.lower, values[here] >= fitted.upper
            missed, alarms = good & truth[here], defective & ~truth[here]
            if requirement.has_band:
                wrong[seed, here] = ~good & ~defective
            elif requirement.cost is not None:
                wrong[seed, here] = missed | alarms
            else:
                wrong[seed, here] = missed if requirement.max_false_alarms is not None else alarms
    return wrong.mean(axis=0)[np.argsort(sample.ids)]
