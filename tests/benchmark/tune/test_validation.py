"""Which images a search looks at, and how long it may."""

from __future__ import annotations

import pytest

from benchmark.tune.budget import parse_budget, told_seconds
from benchmark.tune.validation import N_DRAWN, read_validation
from extensions.configuration import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("20m", 1200), ("1h30m", 5400), ("1.5h", 5400), ("2M", 120)]
)
def test_budget_is_a_time_with_its_unit(text: str, seconds: float) -> None:
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "20", "0m", "m", "soon", "-5m", "20 min"])
def test_a_budget_that_is_none_says_what_is_expected(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a time with its unit such as 90s"):
        parse_budget(text)


def test_seconds_are_told_in_the_unit_that_suits() -> None:
    assert [told_seconds(value) for value in (42, 210, 7200)] == ["42 s", "3.5 min", "2.0 h"]


def test_kinds_of_validation() -> None:
    assert read_validation(None) == read_validation("drawn")
    assert (read_validation("drawn").kind, read_validation("drawn").n) == ("drawn", N_DRAWN)
    labelled = read_validation({"labelled": 20, "seed": 3, "n_train": None})
    assert (labelled.kind, labelled.n, labelled.seed, labelled.n_train) == ("labelled", 20, 3, None)
    assert read_validation("known").kind == "known"
    assert read_validation({"folder": "limits"}).folder == "limits"


@pytest.mark.parametrize("given", [
    {"labelled": 20, "drawn": 5}, {}, {"seed": 1}, {"labelled": 0}, {"labelled": True}, {"labelled": "20"}, ["drawn"],
    "test", {"drawn": 5, "held_out": 1.5}, {"drawn": 5, "seed": -1}, {"drawn": 5, "n_train": 1}, {"folder": ""},
    {"known": 3}, 7,
])  # fmt: skip
def test_any_other_is_refused_with_what_is_expected(given: object) -> None:
    with pytest.raises(ConfigError, match="validation"):
        read_validation(given)
