"""Thresholds from a requirement keep it, say what they cannot keep, and are judged on other images."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.metrics.folds import stratified_folds
from benchmark.metrics.image import best_threshold
from benchmark.statistics.rates import binomial_interval
from benchmark.statistics.requirement import Cost, Requirement
from benchmark.statistics.sample import Sample
from benchmark.statistics.thresholds import Calibration, fit_cross_conformal, fit_thresholds, operating_point

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
        (None, np.ones(3), "none, for there are no good test images"),
        (Requirement(max_missed=0.0), np.zeros(3), "none, for there are no defective test images"),
        (Requirement(max_false_alarms=0.5), np.ones(3), "none, for there are no good test images"),
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


def sample(n_good: int, n_defective: int, *, seeds: int = 2, seed: int = 0) -> Sample:
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [n_good, n_defective])
    return Sample(
        labels=labels,
        scores=rng.normal(size=(seeds, len(labels))) + 2 * labels,
        folds=stratified_folds(labels, seed=0),
        ids=tuple(map(str, range(len(labels)))),
    )


@pytest.mark.parametrize(
    "requirement", [Requirement(max_false_alarms=0.05), Requirement(max_missed=0.1, max_false_alarms=0.05)]
)
def test_an_operating_point_counts_each_half_at_the_thresholds_of_the_other(requirement: Requirement) -> None:
    samples = [sample(50, 30), sample(41, 27, seed=1)]
    counts = {"missed": 0.0, "false_alarms": 0.0, "unsure": 0.0}
    for one in samples:
        for scores in one.scores:
            for i, score in enumerate(scores):
                other = one.folds != one.folds[i]
                fitted = fit_thresholds(one.labels[other], scores[other], requirement)
                assert fitted.lower is not None
                assert fitted.upper is not None
                counts["missed"] += (one.labels[i] == 1 and score < fitted.lower) / 2
                counts["false_alarms"] += (one.labels[i] == 0 and score >= fitted.upper) / 2
                counts["unsure"] += (fitted.lower <= score < fitted.upper) / 2

    point = operating_point(samples, requirement)

    assert point is not None
    assert (point.missed, point.false_alarms) == (counts["missed"], counts["false_alarms"])
    assert (point.n_defective, point.n_good) == (57, 91)
    assert point.missed_interval == binomial_interval(point.missed, 57)
    assert point.unsure == (pytest.approx(counts["unsure"] / 148) if requirement.has_band else None)


def test_a_cost_is_told_for_a_thousand_parts_of_the_line() -> None:
    cost = Cost(missed=500, false_alarm=3, defect_rate=0.004)

    point = operating_point([sample(50, 30)], Requirement(cost=cost))

    assert point is not None
    assert point.cost == pytest.approx(4 * point.missed / 30 * 500 + 996 * point.false_alarms / 50 * 3)


def test_calibration_images_leave_all_test_images_to_be_judged() -> None:
    test = sample(50, 30)
    known = Calibration(labels=np.zeros(99), scores=np.stack([np.linspace(-3, 1, 99), np.linspace(-3, 2, 99)]))

    point = operating_point([test], Requirement(max_false_alarms=0.01), calibration=[known])

    assert point is not None
    assert point.supported
    assert point.false_alarms == ((test.scores[:, :50] >= [[1], [2]]).sum() / 2)


def test_a_half_without_enough_good_images_says_what_it_supports() -> None:
    point = operating_point([sample(20, 20)], Requirement(max_false_alarms=0.01))

    assert point is not None
    assert not point.supported
    assert point.note.startswith("with 10 good images at least 9.1 % false alarms must be allowed for (each half of")
    single = operating_point([sample(2, 20)], Requirement(max_false_alarms=0.01))
    assert single is not None
    assert single.note.startswith("with 1 good image at least 50 %")


def test_what_cannot_be_judged_is_none() -> None:
    assert operating_point([sample(50, 1)], Requirement(max_missed=0.1)) is None
    assert operating_point([sample(50, 9)], Requirement(max_false_alarms=0.1, cross_conformal=5)) is None


def test_cross_conformal_is_the_rank_of_the_scores_and_guarantees_nothing() -> None:
    scores = np.random.default_rng(0).normal(size=99)

    fitted = fit_cross_conformal(scores, Requirement(max_false_alarms=0.05, cross_conformal=5))

    assert fitted.lower is not None
    assert (scores >= fitted.lower).sum() == 4
    assert fitted.source.startswith("cross-conformal in 5 folds")
    assert "none guaranteed" in fitted.promise
