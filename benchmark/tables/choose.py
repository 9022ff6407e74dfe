"""Which row of a data set to put on the line, and which cannot be told from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.statistics.comparison import holm
from benchmark.statistics.operating_point import OperatingPoint
from benchmark.statistics.requirement import Requirement
from benchmark.tables.differences import ALPHA, RANKED_BY, Compared
from benchmark.tables.judged_row import JudgedRow
from benchmark.tables.same_errors import errors, mcnemar_p


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """Of the ranked rows of a data set.

    Attributes:
        best: The recommended row.
        ties: Those that the test images do not tell from it, in the order of the leaderboard.
        n_ranked: Rows with a rank.
        by_requirement: Whether the requirement decided; else the rank did.
    """

    best: JudgedRow
    ties: tuple[JudgedRow, ...]
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
        best = ranked[0]
        told = {id(one.second) for one in compared if one.first is best and _tells(one)}
        others = [row for row in ranked[1:] if id(row) not in told]
        return Choice(best=best, ties=tuple(others), n_ranked=len(ranked), by_requirement=False)
    key = sort_by(requirement)
    best = min(judged, key=lambda row: (key(row.point), row.rank) if row.point else ((math.inf,), 0))
    ties = _ties(best, [row for row in judged if row is not best], compared, requirement)
    return Choice(best=best, ties=ties, n_ranked=len(ranked), by_requirement=True)


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


def _ties(
    best: JudgedRow, others: Sequence[JudgedRow], compared: Sequence[Compared], requirement: Requirement
) -> tuple[JudgedRow, ...]:
    """Rows whose errors on the same images differ from those of the best by no more than chance, after Holm.

    McNemar's test weighs no costs: with a cost, and on other images, the pairs compared by image AUROC tell.
    """
    pairs = {id(one.first if one.second is best else one.second): one for one in compared if _is_of(one, best)}
    if requirement.cost is not None:
        return tuple(row for row in others if id(row) not in pairs or not pairs[id(row)].told_apart)
    alike = [row for row in others if id(row) in pairs and pairs[id(row)].found is not None]
    own = _errors(best, requirement)
    adjusted = holm([mcnemar_p(own, _errors(row, requirement)) for row in alike])
    apart = {id(row) for row, p in zip(alike, adjusted, strict=True) if p < ALPHA}
    return tuple(row for row in others if id(row) not in apart)


def _errors(row: JudgedRow, requirement: Requirement) -> np.ndarray:
    return errors(row.samples or (), requirement, calibration=row.calibration)


def _is_of(one: Compared, row: JudgedRow) -> bool:
    is_ranking = one.found is None or one.found.metric == RANKED_BY
    return is_ranking and (one.first is row or one.second is row)


def _tells(one: Compared) -> bool:
    return one.found is not None and one.found.metric == RANKED_BY and one.told_apart
