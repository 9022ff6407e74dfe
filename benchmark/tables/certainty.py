"""Columns that say how sure a row is and what its detector does at the requirement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmark.metrics.metric_table import HEADLINE
from benchmark.statistics.intervals import metric_intervals
from benchmark.statistics.operating_point import OperatingPoint
from benchmark.statistics.rates import none_seen_bound
from benchmark.statistics.requirement import STANDARD, Requirement
from benchmark.statistics.sample import Sample

WITH_INTERVAL = (
    "image_AUROC", "image_F1Score", "pixel_AUROC", "pixel_F1Score", "image_AveragePrecision", "image_F1Max",
    "image_recall_at_FPR1", "image_recall_at_FPR5", "image_FPR_at_recall95", "image_FPR_at_recall100",
    "pixel_AveragePrecision", "pixel_F1Max", "pixel_AUPRO",
)  # fmt: skip
INTERVALS = tuple(f"{name}_{end}" for name in WITH_INTERVAL for end in ("low", "high"))
POINT = (
    "missed", "n_defective", "missed_low", "missed_high", "false_alarms", "n_good", "false_alarms_low",
    "false_alarms_high", "cost_per_1000", "unsure",
)  # fmt: skip
CERTAINTY = ("rank_range", *INTERVALS, *POINT, "requirement", "caution")
"""Columns of ``leaderboard.csv`` that come from the scores of the images; blank where there are none."""
WORTH_TELLING = 0.05
"""Where no rate, or none at all, is asked for: that so few images cannot show less than this."""
TOLD = (*(f"{name}_interval" for name in HEADLINE), "missed_told", "false_alarms_told")
"""The same as texts, for a sheet and a page."""


def certainty(samples: Sequence[Sample], point: OperatingPoint | None) -> dict[str, Any]:
    """`CERTAINTY`, but for the rank range, and `TOLD`.

    Args:
        samples: The test images of a line, one a category.
        point: What the detector does on them.
    """
    intervals = {name: found for name, found in metric_intervals(samples).items() if name in WITH_INTERVAL}
    line: dict[str, Any] = {}
    for name, (low, high) in intervals.items():
        line |= {f"{name}_low": low, f"{name}_high": high}
    line |= {f"{name}_interval": told_interval(*intervals[name]) for name in HEADLINE if name in intervals}
    return line | (_at(point) if point is not None else {})


def caution(samples: Sequence[Sample], requirement: Requirement | None) -> str | None:
    """What so few test images cannot show, at the rates required or at `WORTH_TELLING`; None for nothing."""
    asked = requirement or STANDARD[0]
    told = [
        f"{n} {kind} image{'s' if n != 1 else ''}: a {what} below {share(none_seen_bound(n))} cannot be shown"
        for n, kind, what, rate in (
            (sum(one.n_good for one in samples), "good", "false-alarm rate", asked.max_false_alarms),
            (sum(one.n_defective for one in samples), "defective", "rate of missed defects", asked.max_missed),
        )
        if n and none_seen_bound(n) > (rate or WORTH_TELLING)
    ]
    return "; ".join(told) or None


def told_interval(low: float, high: float) -> str:
    """Such as ``0.93–0.98``; three digits where two would read as one number."""
    digits = 2 if f"{low:.2f}" != f"{high:.2f}" else 3
    return f"{low:.{digits}f}–{high:.{digits}f}"


def told_count(count: float, n: int) -> str:
    """Such as ``15 of 100``; a mean over seeds has a digit behind the point."""
    return f"{count:.0f} of {n}" if abs(count - round(count)) < 0.05 else f"{count:.1f} of {n}"


def share(value: float) -> str:
    """Such as ``22 %``, ``3.0 %`` or ``0.4 %``."""
    return f"{100 * value:.0f} %" if value >= 0.1 else f"{100 * value:.2g} %"


def _at(point: OperatingPoint) -> dict[str, Any]:
    return {
        "missed": point.missed,
        "n_defective": point.n_defective,
        "missed_low": point.missed_interval[0],
        "missed_high": point.missed_interval[1],
        "false_alarms": point.false_alarms,
        "n_good": point.n_good,
        "false_alarms_low": point.false_alarm_interval[0],
        "false_alarms_high": point.false_alarm_interval[1],
        "cost_per_1000": point.cost,
        "unsure": point.unsure,
        "requirement": point.requirement.told,
        "missed_told": told_count(point.missed, point.n_defective),
        "false_alarms_told": told_count(point.false_alarms, point.n_good),
    }
