"""The threshold that costs least, and what errors cost."""

from __future__ import annotations

import numpy as np

from benchmark.statistics.conformal import above, below
from benchmark.statistics.requirement import Cost


def least_cost(labels: np.ndarray, scores: np.ndarray, cost: Cost) -> float:
    """The threshold with the least expected cost of a part; of equal ones the highest.

    It lies halfway between two scores, or a little beyond the least or the largest.

    Args:
        labels: ``(N,)`` bool, both kinds.
        scores: ``(N,)`` raw scores, higher is more anomalous.
        cost: What errors cost.
    """
    distinct, where = np.unique(scores, return_inverse=True)
    n_defective = np.bincount(where[labels], minlength=len(distinct))
    n_good = np.bincount(where[~labels], minlength=len(distinct))
    missed = np.concatenate([[0], np.cumsum(n_defective)]) / n_defective.sum()  # below entry k, k = 0 to K
    false_alarms = 1 - np.concatenate([[0], np.cumsum(n_good)]) / n_good.sum()
    expected = expected_cost(missed, false_alarms, cost)
    # Sums of floats that are equal on paper may differ in the last digits.
    k = int(np.flatnonzero(expected <= expected.min() * (1 + 1e-12) + 1e-300)[-1])
    return below(float(distinct[k]), distinct) if k < len(distinct) else above(float(distinct[-1]), distinct)


def expected_cost(
    missed: float | np.ndarray, false_alarms: float | np.ndarray, cost: Cost, *, parts: int = 1
) -> np.ndarray:
    """Expected cost of so many parts, from the shares of defective parts missed and of good parts called defective."""
    a_part = cost.defect_rate * missed * cost.missed + (1 - cost.defect_rate) * false_alarms * cost.false_alarm
    return np.asarray(parts * a_part)
