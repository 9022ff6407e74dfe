"""Thresholds from a requirement keep it, say what they cannot keep, and are judged on other images."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.metrics.image import best_threshold
from benchmark.statistics.requirement import Cost, Requirement
from benchmark.statistics.thresholds import fit_thresholds

RNG = np.random.default_rng(0)
LABELS = np.repeat([0, 1], [40, 60])
SCORES = np.concatenate([RNG.normal(size=40), RNG.normal(2, size=60)])


def test_without_a_requirement_it_is_the_threshold_of_maximal_f1() -> None:
    fitted = fit_thresholds(LABELS, SCORES, None)

    assert fitted.lower == fitted.upper == best_threshold(LABELS, SCORES)
    assert fitted.source == "maximal F1 on all labelled test images"


def test_good_images_alone_give_a_conformal_threshold_that_says_what_it_supports() -> None:
    fitted = fit_thresholds(LABELS[:40], SCORES[:40], None)

    assert fitted.lower is not None
    assert fitted.lower > SCORES[:40].max()
    assert not fitted.supported
    assert fitted.promise == "with 40 good images at least 2.4 % false alarms must be allowed for"


@pytest.mark.parametrize(
    ("requirement", "labels", "source"),
    [
        (None, np.ones(3), "none, for no image of the test images is good"),
        (Requirement(max_missed=0.0), np.zeros(3), "none, for no image of the test images is defective"),
        (Requirement(max_false_alarms=0.5), np.ones(3), "none, for no image of the test images is good"),
        (Requirement(cost=Cost(missed=1, false_alarm=1, defect_rate=0.5)), np.zeros(3), "defective"),
    ],
)
def test_a_kind_that_is_needed_and_not_there_is_named(
    requirement: Requirement | None, labels: np.ndarray, source: str
) -> None:
    fitted = fit_thresholds(labels, np.arange(3.0), requirement)

    assert fitted.lower is fitted.upper is None
    assert source in fitted.source


def test_two_rates_give_a_band_and_each_side_keeps_its_own() -> None:
    fitted = fit_thresholds(LABELS, SCORES, Requirement(max_missed=0.05, max_false_alarms=0.05))

    assert fitted.lower is not None
    assert fitted.upper is not None
    assert fitted.lower < fitted.upper
    assert (SCORES[LABELS == 1] < fitted.lower).mean() <= 0.05
    assert (SCORES[LABELS == 0] >= fitted.upper).mean() <= 0.05
    assert fitted.supported


def test_one_threshold_that_keeps_both_rates_takes_the_place_of_a_band() -> None:
    labels, scores = np.repeat([0, 1], 30), np.concatenate([np.linspace(0, 1, 30), np.linspace(3, 4, 30)])
    both = Requirement(max_missed=0.1, max_false_alarms=0.1)

    fitted = fit_thresholds(labels, scores, both)

    assert fitted.lower == fitted.upper
    assert ((scores[30:] < fitted.lower).mean(), (scores[:30] >= fitted.upper).mean()) <= (0.1, 0.1)
    assert "nothing is unsure" in fitted.promise


@pytest.mark.parametrize("defect_rate", [0.004, 0.3, 0.9])
def test_the_cost_is_the_least_of_every_threshold_that_can_be_tried(defect_rate: float) -> None:
    cost = Cost(missed=500, false_alarm=3, defect_rate=defect_rate)

    def of(threshold: float) -> float:
        missed, false_alarms = (SCORES[40:] < threshold).mean(), (SCORES[:40] >= threshold).mean()
        return float(defect_rate * missed * cost.missed + (1 - defect_rate) * false_alarms * cost.false_alarm)

    fitted = fit_thresholds(LABELS, SCORES, Requirement(cost=cost))

    assert fitted.lower is not None
    assert of(fitted.lower) == pytest.approx(min(map(of, [*SCORES, SCORES.max() + 1])))


def test_no_defect_missed_is_never_promised() -> None:
    fitted = fit_thresholds(LABELS, SCORES, Requirement(max_missed=0.0))

    assert fitted.lower is not None
    assert fitted.lower <= SCORES[40:].min()
    assert not fitted.supported
    assert fitted.promise == "with 60 defective images at least 1.6 % missed must be allowed for"


def test_broken_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="finite score"):
        fit_thresholds(np.array([0, 1]), np.array([0.0, np.nan]), None)
