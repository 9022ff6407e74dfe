"""A decision as the page shows it: counts in words, confusion, plots and images."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.report.curves_svg import plots
from benchmark.report.svg_plot import Plot
from benchmark.statistics.operating_point import Interval, OperatingPoint
from benchmark.tables.decision import Decision, LeadingRow, Thresholds
from benchmark.tables.gallery import GalleryImage


@dataclass(frozen=True)
class Rate:
    """How often something happens: the count on the test images, and what it means for 1,000 parts of its class."""

    count: str
    per_1000: str
    between: str


@dataclass(frozen=True)
class PointTexts:
    """An operating point to be read; `unsure`, `cost` and `note` are empty where there is none."""

    requirement: str
    missed: Rate
    false_alarms: Rate
    unsure: str
    cost: str
    note: str


@dataclass(frozen=True)
class Confusion:
    """Called what (columns) of truly what (rows: defective, good), with a sentence on where it is from."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    note: str


@dataclass(frozen=True)
class ShownRow:
    """A leading row with what is drawn of it."""

    row: LeadingRow
    confusion: Confusion | None
    plots: list[tuple[str, Plot]]


@dataclass(frozen=True)
class ShownDecision:
    """A decision with its texts, plots and images; `is_first` on the page."""

    decision: Decision
    points: list[PointTexts]
    leading: list[ShownRow]
    examples: list[tuple[GalleryImage, str]]
    is_first: bool


def shown_decision(decision: Decision, *, is_first: bool) -> ShownDecision:
    """A decision to be shown."""
    return ShownDecision(
        decision=decision,
        points=[point_texts(point) for point in decision.points],
        leading=[ShownRow(row, confusion(row), plots(row)) for row in decision.leading],
        examples=embedded(decision.examples),
        is_first=is_first,
    )


def embedded(images: Sequence[GalleryImage]) -> list[tuple[GalleryImage, str]]:
    """Each image with its panel inline."""
    return [(one, f"data:image/jpeg;base64,{base64.b64encode(one.jpeg).decode('ascii')}") for one in images]


def point_texts(point: OperatingPoint) -> PointTexts:
    """An operating point to be read."""
    return PointTexts(
        requirement=point.requirement.told,
        missed=_rate(point.missed, point.n_defective, point.missed_interval),
        false_alarms=_rate(point.false_alarms, point.n_good, point.false_alarm_interval),
        unsure="" if point.unsure is None else f"{point.unsure:.1%}",
        cost="" if point.cost is None else f"{point.cost:,.0f}" if point.cost >= 100 else f"{point.cost:.3g}",
        note=point.note[:1].upper() + point.note[1:],
    )


def confusion(row: LeadingRow) -> Confusion | None:
    """What a row calls good and defective; None where neither counts nor thresholds of one category are known.

    The row's point goes first, for its thresholds did not see the images they judge.
    """
    point = row.point
    if point is not None and point.unsure is None and point.n_defective and point.n_good:
        return _of_unseen(point)
    several = "category" in row.scores and row.scores["category"].nunique() > 1
    return None if row.thresholds is None or several or row.scores.empty else _of_run(row, row.thresholds)


def _of_unseen(point: OperatingPoint) -> Confusion:
    found, passed = point.n_defective - point.missed, point.n_good - point.false_alarms
    return Confusion(
        ("called defective", "called good"),
        (
            ("defective", (count(found), f"{count(point.missed)} missed")),
            (
                "good",
                (f"{count(point.false_alarms)} false alarm{'s' * (count(point.false_alarms) != '1')}", count(passed)),
            ),
        ),
        f"With the threshold set for {point.requirement.told}; no threshold saw the images it judges.",
    )


def _of_run(row: LeadingRow, levels: Thresholds) -> Confusion:
    called = (row.scores["score"] >= levels.lower).astype(int) + (row.scores["score"] >= levels.upper)
    has_band = levels.lower < levels.upper
    verdicts = (2, 1, 0) if has_band else (2, 0)
    told = {2: "called defective", 1: "unsure", 0: "called good"}
    rows = [
        (name, tuple(str(int(((row.scores["label"] == label) & (called == one)).sum())) for one in verdicts))
        for name, label in (("defective", 1), ("good", 0))
    ]
    note = (
        f"At the threshold{'s' * has_band} of run {row.key}, from {levels.source}: a little better than on new images."
    )
    return Confusion(tuple(told[one] for one in verdicts), tuple(rows), note)


def count(value: float) -> str:
    """A count, or a mean of counts over seeds with one decimal."""
    return f"{value:.0f}" if abs(value - round(value)) < 0.05 else f"{value:.1f}"


def _rate(n: float, of: int, interval: Interval) -> Rate:
    if not of:
        return Rate("not tested", "", "")
    low, high = (round(1000 * share) for share in interval)
    return Rate(f"{count(n)} of {of}", f"{1000 * n / of:.0f}", f"{low} and {high}")
