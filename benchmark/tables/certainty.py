"""Columns that say how sure a row is and what its detector does at the requirement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmark.metrics.metric_table import HEADLINE
from benchmark.statistics.auroc import seed_aurocs
from benchmark.statistics.intervals import auroc_interval, metric_intervals
from benchmark.statistics.operating_point import OperatingPoint
from benchmark.statistics.parts import parts_of_calibration, parts_of_sample
from benchmark.statistics.rates import none_seen_bound
from benchmark.statistics.requirement import STANDARD, Requirement
from benchmark.statistics.sample import Sample
from benchmark.statistics.thresholds import Calibration, operating_point

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
OF_PARTS = ("part_AUROC", "part_AUROC_low", "part_AUROC_high", *(f"part_{name}" for name in POINT[:8]))
"""Likewise of parts of several images; blank where a data set names none."""
CERTAINTY = ("rank_range", *INTERVALS, *POINT, "requirement", "caution", *OF_PARTS)
"""Columns of ``leaderboard.csv`` that come from the scores of the images; blank where there are none."""
WORTH_TELLING = 0.05
"""Where no rate, or none at all, is asked for: that so few images cannot show less than this."""
_COUNTS = ("missed_told", "false_alarms_told")
TOLD = (*(f"{name}_interval" for name in HEADLINE), *_COUNTS, "part_AUROC_interval", *(f"part_{n}" for n in _COUNTS))
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


def certainty_of_parts(
    samples: Sequence[Sample],
    requirement: Requirement,
    how: str,
    *,
    calibration: Sequence[Calibration] | None = None,
) -> dict[str, Any]:
    """`OF_PARTS` and their texts: the images of a part judged as one, at thresholds fitted on parts.

    Args:
        samples: The test images of a line, one a category.
        requirement: What the thresholds keep.
        how: What a part scores, see `extensions.data.part_score`.
        calibration: Images that thresholds are fitted on instead, one a category.

    Returns:
        Nothing where the images of a category are of no parts.
    """
    if any(sample.groups is None for sample in samples):
        return {}
    parts = [parts_of_sample(sample, how) for sample in samples]
    known = None if calibration is None else [parts_of_calibration(one, how) for one in calibration]
    point = operating_point(parts, requirement, calibration=known)
    line = {f"part_{name}": value for name, value in (_at(point) if point is not None else {}).items()}
    line = {name: value for name, value in line.items() if name in (*OF_PARTS, *TOLD)}
    if all(one.n_good and one.n_defective for one in parts):
        low, high = auroc_interval(parts)
        line |= {"part_AUROC": float(np.mean([seed_aurocs(one).mean() for one in parts]))}
        line |= {"part_AUROC_low": low, "part_AUROC_high": high, "part_AUROC_interval": told_interval(low, high)}
    return line


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
