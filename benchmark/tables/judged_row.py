"""A row of the leaderboard with the test images behind it, and what its detector does at the requirement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from benchmark.records.cells import Row
from benchmark.records.record import Record
from benchmark.statistics.operating_point import OperatingPoint
from benchmark.statistics.requirement import STANDARD, Requirement
from benchmark.statistics.sample import Sample
from benchmark.statistics.thresholds import Calibration, operating_point
from benchmark.tables.certainty import CERTAINTY, TOLD, caution, certainty, certainty_of_parts
from benchmark.tables.row_samples import row_calibration, row_samples
from benchmark.tables.stored_scores import StoredScores
from extensions.data.part_score import WORST


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedRow:
    """One row, its mean over categories and seeds.

    Attributes:
        label: Model, backbone and, where they tell rows of the data set apart, settings.
        line: Its columns.
        runs: The finished records behind it.
        samples: The test images, one a category; None where a run, its scores or a category is missing.
        calibration: Images that thresholds alone are fitted on, one a category; None where those are the test images.
        point: At the requirement; None where that cannot be told.
    """

    label: str
    line: dict[str, Any]
    runs: Sequence[Record]
    samples: tuple[Sample, ...] | None
    calibration: tuple[Calibration, ...] | None
    point: OperatingPoint | None

    @property
    def dataset(self) -> str:
        """Name of the data set."""
        return str(self.line["dataset"])

    @property
    def rank(self) -> int | None:
        """Place within the data set; None where it has none."""
        found = self.line.get("rank")
        return None if found is None else int(found)

    def number(self, name: str) -> float | None:
        """A column as a number; None where it is blank."""
        found = self.line.get(name)
        return None if found is None or pd.isna(found) else float(found)


def row_labels(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """A label a line; within a data set no two are the same."""
    short = [", ".join(filter(None, (line["model"], line["backbone"]))) for line in lines]
    keys = [(line["dataset"], text) for line, text in zip(lines, short, strict=True)]
    found = [
        ", ".join(filter(None, (text, line["settings"]))) if keys.count(key) > 1 else text
        for line, text, key in zip(lines, short, keys, strict=True)
    ]
    told = [(line["dataset"], text) for line, text in zip(lines, found, strict=True)]
    return [
        f"{text} ({told[:place].count(key) + 1})" if told.count(key) > 1 else text
        for place, (text, key) in enumerate(zip(found, told, strict=True))
    ]


def with_samples(means: Sequence[dict[str, Any]], rows: Sequence[Row], stored: StoredScores) -> list[JudgedRow]:
    """The lines of rows with their test images alone: enough to compare them."""
    return [
        JudgedRow(
            label=label,
            line=line,
            runs=[record for record in rows[line["_row"]].counted if record.is_finished],
            samples=row_samples(rows[line["_row"]], line["_categories"], stored),
            calibration=None,
            point=None,
        )
        for line, label in zip(means, row_labels(means), strict=True)
    ]


def judge(
    means: Sequence[dict[str, Any]],
    parts: Sequence[dict[str, Any]],
    rows: Sequence[Row],
    stored: StoredScores | None,
    requirement: Requirement | None,
) -> list[JudgedRow]:
    """Give each line the columns of certainty, and the means their test images.

    Args:
        means: A line a row; `_row` is its place in `rows`, `_categories` are those that it should have.
        parts: Likewise, a line for each category of a row.
        rows: Of the leaderboard.
        stored: The scores; None leaves all of this blank.
        requirement: None counts at the first standard point.
    """
    found = []
    columns: dict[tuple[int, str], dict[str, Any]] = {}
    for line, label in zip(means, row_labels(means), strict=True):
        judged = _judge(line, label, rows[line["_row"]], stored, requirement)
        found.append(judged)
        if len(line["_categories"]) == 1:  # so the mean over categories is the category
            columns[line["_row"], line["_categories"][0]] = {name: line.get(name) for name in (*CERTAINTY, *TOLD)}
    for line in parts:
        row, (category,) = rows[line["_row"]], line["_categories"]
        if (line["_row"], category) in columns:
            line.update(columns[line["_row"], category])
        else:
            _judge(line, "", row, stored, requirement)
    return found


def _judge(
    line: dict[str, Any], label: str, row: Row, stored: StoredScores | None, requirement: Requirement | None
) -> JudgedRow:
    """The line with its test images, and in it what they say."""
    asked, categories = requirement or STANDARD[0], line["_categories"]
    runs = [record for record in row.counted if record.is_finished]
    samples = None if stored is None else row_samples(row, categories, stored)
    calibration = None if stored is None or samples is None else row_calibration(row, categories, stored, asked)
    point = None if samples is None else operating_point(samples, asked, calibration=calibration)
    if samples is not None:
        line.update(certainty(samples, point) | {"caution": caution(samples, requirement)})
    if line.get("_remark"):
        line["caution"] = "; ".join(filter(None, [line["_remark"], line.get("caution")]))
    if samples is not None:
        how = next((record.dataset.part_score for record in runs if record.dataset.part_score), WORST)
        line.update(certainty_of_parts(samples, asked, how, calibration=calibration))
    return JudgedRow(label=label, line=line, runs=runs, samples=samples, calibration=calibration, point=point)
