"""Which row of a data set to put on the line, and which cannot be told from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.statistics.comparison import holm
from benchmark.statistics.operating_point import OperatingPoint
from benchmark.statistics.requirement import Requirement
from benchmark.statistics.resampled_errors import errors_p, resampled_errors
from benchmark.tables.differences import ALPHA, RANKED_BY, Compared
from benchmark.tables.judged_row import JudgedRow


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """Of the ranked rows of a data set.

    Attributes:
        best: The recommended row.
        ties: Those that the test images do not tell from it, in the order of the leaderboard.
        alike: Those of them that are no worse even where only the two are compared: not for want of power among many.
        n_ranked: Rows with a rank.
        by_requirement: Whether the requirement decided; else the rank did.
    """

    best: JudgedRow
    ties: tuple[JudgedRow, ...]
    alike: tuple[JudgedRow, ...]
    n_ranked: int
    by_requirement: bool


def choose(rows: Sequence[JudgedRow], compared: Sequence[Compared], requirement: Requirement | None) -> Choice | None:
    """The best row of a data set at a requirement, else the one with rank 1; None where none has a rank.

    Args:
        rows: Of one data set, best first.
        compared: Its pairs.
        requirement: With a limit on false alarms the fewest missed are best, with one on the missed the fewest false
            alarms, with both the least unsure, with a cost the least.
    """
    ranked = [row for row in rows if row.rank is not None]
    if not ranked:
        return None
    judged = [row for row in ranked if row.point is not None]
    if requirement is None or not judged:
        best, others = ranked[0], ranked[1:]
        p_values = _by_rank(best, others, compared)
    else:
        key = sort_by(requirement)
        best = min(judged, key=lambda row: (key(row.point), row.rank) if row.point else ((math.inf,), 0))
        others = [row for row in ranked if row is not best]
        p_values = _by_errors(best, others, compared, requirement)
    return Choice(
        best=best,
        ties=tuple(row for row, (_, p) in zip(others, p_values, strict=True) if p >= ALPHA),
        alike=tuple(row for row, (p, _) in zip(others, p_values, strict=True) if p >= ALPHA),
        n_ranked=len(ranked),
        by_requirement=requirement is not None and bool(judged),
    )


def sort_by(requirement: Requirement) -> Callable[[OperatingPoint], tuple[float, ...]]:
    """Sorts the operating points that a requirement likes best first, those that surely break it last."""

    def key(point: OperatingPoint) -> tuple[float, ...]:
        missed = point.missed / point.n_defective if point.n_defective else 0.0
        alarms = point.false_alarms / point.n_good if point.n_good else 0.0
        broken = float(breaks(point))
        if requirement.cost is not None:
            return (math.inf if point.cost is None else point.cost,)
        if requirement.has_band:
            return (broken, point.unsure or 0.0, missed + alarms)
        return (broken, missed, alarms) if requirement.max_false_alarms is not None else (broken, alarms, missed)

    return key


def breaks(point: OperatingPoint) -> bool:
    """Whether a rate that is asked for lies below all that the test images allow."""
    asked = point.requirement
    limits = (
        (asked.max_missed, point.missed_interval[0], point.n_defective),
        (asked.max_false_alarms, point.false_alarm_interval[0], point.n_good),
    )
    # No defect missed is an aim: no number of images keeps it, so one that is missed breaks nothing.
    return any(limit and n and low > limit for limit, low, n in limits)


def _by_rank(best: JudgedRow, others: Sequence[JudgedRow], compared: Sequence[Compared]) -> list[tuple[float, float]]:
    """Of each other row p and adjusted p by image AUROC; 1 where the two were not compared."""
    pairs = {one.first if one.second is best else one.second: one for one in compared if _is_of(one, best)}
    return [
        (one.found.p, one.p_adjusted) if (one := pairs.get(row)) is not None and one.found is not None else (1.0, 1.0)
        for row in others
    ]


def _by_errors(
    best: JudgedRow, others: Sequence[JudgedRow], compared: Sequence[Compared], requirement: Requirement
) -> list[tuple[float, float]]:
    """The same by the errors that the requirement counts, on the same images, with Holm over the other rows."""
    apart = {one.first if one.second is best else one.second for one in compared if one.found is None}
    own = _errors(best, requirement)
    p_values = [
        errors_p(own, _errors(row, requirement)) if row.point is not None and row not in apart else 1.0
        for row in others
    ]
    return list(zip(p_values, holm(p_values), strict=True))


def _errors(row: JudgedRow, requirement: Requirement) -> np.ndarray:
    return resampled_errors(row.samples or (), requirement, calibration=row.calibration)


def _is_of(one: Compared, row: JudgedRow) -> bool:
    is_ranking = one.found is not None and one.found.metric == RANKED_BY
    return is_ranking and (one.first is row or one.second is row)
