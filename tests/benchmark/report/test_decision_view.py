from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from benchmark.report.decision_view import confusion, count, point_texts
from benchmark.statistics.operating_point import OperatingPoint
from benchmark.statistics.requirement import Cost, Requirement
from benchmark.tables.decision import LeadingRow, Thresholds

SCORES = pd.DataFrame({"label": [1, 1, 1, 0, 0, 0, 0], "score": [9, 5, 1, 8, 5, 2, 1]})


def row(lower: float, upper: float, scores: pd.DataFrame = SCORES) -> LeadingRow:
    return LeadingRow(
        label="Padim", model="Padim", backbone="resnet18", settings="", place="1", key="key", scores=scores,
        thresholds=Thresholds(lower=lower, upper=upper, source="test images"),
    )  # fmt: skip


def point(**changes: float) -> OperatingPoint:
    given = {"missed": 15.0, "n_defective": 100, "false_alarms": 4.333, "n_good": 50} | changes
    return OperatingPoint(
        requirement=Requirement(max_false_alarms=0.05), missed_interval=(0.0865, 0.2353),
        false_alarm_interval=(0.0222, 0.1923), **given,
    )  # fmt: skip


def test_counts_are_told_for_1000_parts_of_their_class() -> None:
    told = point_texts(point())
    assert (told.missed.count, told.missed.per_1000, told.missed.between) == ("15 of 100", "150", "86 and 235")
    assert (told.false_alarms.count, told.false_alarms.per_1000) == ("4.3 of 50", "87")
    assert (told.unsure, told.cost, told.note) == ("", "", "")


def test_what_was_not_tested_is_not_called_zero() -> None:
    assert point_texts(point(missed=0.0, n_defective=0)).missed.count == "not tested"


@pytest.mark.parametrize(("cost", "told"), [(12345.6, "12,346"), (1.2345, "1.23"), (0.0, "0")])
def test_costs_are_readable(cost: float, told: str) -> None:
    found = OperatingPoint(
        requirement=Requirement(cost=Cost(missed=500, false_alarm=3, defect_rate=0.004)), missed=0, n_defective=9,
        missed_interval=(0, 0.3), false_alarms=0, n_good=9, false_alarm_interval=(0, 0.3), cost=cost, unsure=0.031,
    )  # fmt: skip
    assert (point_texts(found).cost, point_texts(found).unsure) == (told, "3.1%")


def test_confusion_of_the_point_is_that_of_unseen_images() -> None:
    found = confusion(replace(row(5, 5), point=point()))
    assert found is not None
    assert found.rows == (("defective", ("85", "15 missed")), ("good", ("4.3 false alarms", "45.7")))


def test_confusion_of_scores_counts_from_the_threshold_on() -> None:
    found = confusion(row(5, 5))
    assert found is not None
    assert found.columns == ("called defective", "called good")
    assert found.rows == (("defective", ("2", "1")), ("good", ("2", "2")))
    assert "key" in found.note


def test_confusion_with_two_thresholds_has_a_third_verdict() -> None:
    found = confusion(row(2, 8))
    assert found is not None
    assert found.columns == ("called defective", "unsure", "called good")
    assert found.rows == (("defective", ("1", "1", "1")), ("good", ("1", "2", "1")))


def test_scores_of_several_categories_have_no_confusion_at_one_threshold() -> None:
    assert confusion(row(5, 5, SCORES.assign(category=list("aaaabbb")))) is None


@pytest.mark.parametrize(("value", "told"), [(15.0, "15"), (14.333, "14.3"), (0.04, "0"), (0.5, "0.5")])
def test_counts_are_whole_unless_they_are_means(value: float, told: str) -> None:
    assert count(value) == told
