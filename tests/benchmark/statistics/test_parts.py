"""Several images of a part: its end points, thresholds that keep a rate of parts, and counts that agree."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from benchmark.metrics.folds import stratified_folds
from benchmark.statistics.part_ends import part_ends
from benchmark.statistics.parts import parts_of_calibration, parts_of_sample
from benchmark.statistics.rates import binomial_interval
from benchmark.statistics.requirement import Cost, Requirement
from benchmark.statistics.resampled_errors import resampled_errors
from benchmark.statistics.thresholds import Calibration, fit_cross_conformal, fit_thresholds, operating_point
from extensions.data.part_score import part_score
from tests.benchmark.statistics.fabricated_samples import made_sample

REQUIREMENTS = [
    Requirement(max_false_alarms=0.2),
    Requirement(max_missed=0.2),
    Requirement(max_missed=0.2, max_false_alarms=0.2),
    Requirement(cost=Cost(missed=500, false_alarm=3, defect_rate=0.004)),
]


def with_parts(sample, size=3):
    """The sample with parts of several images; some of them hold good and defective images."""
    rng = np.random.default_rng(1)
    groups = tuple(f"part {place // size}" for place in rng.permutation(len(sample.ids)))
    folds = stratified_folds(sample.labels, seed=0, ids=sample.ids, units=groups)
    return dataclasses.replace(sample, groups=groups, folds=folds)


def test_the_ends_of_a_part_are_its_highest_good_and_its_lowest_defective_image():
    rng = np.random.default_rng(0)
    truth, scores, groups = rng.random(60) < 0.4, rng.integers(0, 9, 60).astype(float), rng.integers(0, 12, 60)
    ends = part_ends(truth, scores, groups.astype(str))
    for part in range(12):
        for label, worst in ((False, np.max), (True, np.min)):
            own = (groups == part) & (truth == label)
            assert scores[own & ends].tolist() == ([worst(scores[own])] if own.any() else [])


def test_parts_of_one_image_change_nothing():
    sample = made_sample(n_good=30, n_defective=30)
    for requirement in [*REQUIREMENTS, None]:
        plain = fit_thresholds(sample.labels, sample.scores[0], requirement)
        alone = fit_thresholds(sample.labels, sample.scores[0], requirement, groups=sample.ids)
        assert (alone.lower, alone.upper, alone.supported) == (plain.lower, plain.upper, plain.supported)


def test_a_rate_is_kept_for_parts_whose_images_are_alike():
    """Twenty parts of ten images each: by images too many parts have a false alarm, by parts they keep the rate."""
    rng, rate, requirement = np.random.default_rng(0), 0.1, Requirement(max_false_alarms=0.1)
    groups = np.repeat([f"part {part}" for part in range(20)], 10)
    alarmed = {"images": [], "parts": []}
    for _ in range(300):
        known = (rng.normal(size=(20, 1)) + 0.5 * rng.normal(size=(20, 10))).ravel()
        new = (rng.normal(size=(20, 1)) + 0.5 * rng.normal(size=(20, 10))).max(axis=1)
        for name, parts in (("images", None), ("parts", groups.tolist())):
            fitted = fit_thresholds(np.zeros(200), known, requirement, groups=parts)
            alarmed[name].append((new >= fitted.lower).mean())
    assert np.mean(alarmed["parts"]) <= rate + 0.01
    assert np.mean(alarmed["images"]) > rate + 0.03


def test_the_promise_counts_parts():
    sample = with_parts(made_sample(n_good=60, n_defective=30))
    n_good = len(set(np.array(sample.groups)[sample.labels == 0]))
    fitted = fit_thresholds(sample.labels, sample.scores[0], REQUIREMENTS[0], groups=sample.groups)
    assert f"for parts like the {n_good} good parts" in fitted.promise
    assert "parts of test images" in fitted.source
    few = fit_thresholds(np.zeros(4), np.arange(4.0), Requirement(max_false_alarms=0.01), groups=["a"] * 4)
    assert few.promise == "with 1 good part at least 50 % false alarms must be allowed for"
    crossed = fit_cross_conformal(
        sample.scores[0], Requirement(max_false_alarms=0.2, cross_conformal=5), groups=sample.groups
    )
    assert crossed.source.endswith(f"90 good training images of {len(set(sample.groups))} parts")


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda one: one.told)
@pytest.mark.parametrize("calibrated", [False, True])
def test_the_errors_of_a_comparison_are_those_of_the_operating_point(requirement, calibrated):
    sample = with_parts(made_sample(n_good=60, n_defective=48, n_seeds=2))
    known = with_parts(made_sample(n_good=40, n_defective=30, n_seeds=2, name="known", seed=3))
    calibration = [Calibration(labels=known.labels, scores=known.scores, groups=known.groups)] if calibrated else None
    point = operating_point([sample], requirement, calibration=calibration)
    found = resampled_errors([sample], requirement, calibration=calibration)[:, 0].mean()
    expected = (
        point.unsure if requirement.has_band else point.cost / 1000 if requirement.cost
        else point.missed / point.n_defective if requirement.max_false_alarms else point.false_alarms / point.n_good
    )  # fmt: skip
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("how", "expected"), [("max", 4), ("mean", 2), ("top2", 3), ("top9", 2), ("top1", 4)])
def test_what_a_part_scores(how, expected):
    assert part_score([1.0, 4.0, 2.0, 1.0], how) == expected


@pytest.mark.parametrize("how", ["max", "mean", "top2"])
def test_the_parts_of_a_sample_are_those_of_a_group_by(how):
    sample = with_parts(made_sample(n_good=60, n_defective=31, n_seeds=2))
    frame = pd.DataFrame({"group": sample.groups, "label": sample.labels, "fold": sample.folds, "a": sample.scores[0],
                          "b": sample.scores[1]})  # fmt: skip
    best = {"max": lambda x: x.max(), "mean": lambda x: x.mean(), "top2": lambda x: x.nlargest(2).mean()}[how]
    expected = frame.groupby("group").agg({"label": "max", "fold": "first", "a": best, "b": best})
    parts = parts_of_sample(sample, how)
    assert parts.ids == tuple(expected.index)
    assert parts.labels.tolist() == expected["label"].tolist()
    assert parts.folds.tolist() == expected["fold"].tolist()
    np.testing.assert_allclose(parts.scores, expected[["a", "b"]].to_numpy().T)
    known = parts_of_calibration(Calibration(labels=sample.labels, scores=sample.scores, groups=sample.groups), how)
    np.testing.assert_allclose(known.scores, parts.scores)
    assert known.groups is None


def test_the_intervals_of_errors_have_as_many_trials_as_parts():
    plain = made_sample(n_good=60, n_defective=48)
    sample = dataclasses.replace(plain, groups=plain.ids)
    grouped = with_parts(plain, size=6)
    requirement = Requirement(cost=Cost(missed=500, false_alarm=3, defect_rate=0.004))
    alone, images, parts = (operating_point([one], requirement) for one in (plain, sample, grouped))
    assert (images.missed_interval, images.false_alarm_interval) == (alone.missed_interval, alone.false_alarm_interval)
    n_good, n_defective = grouped.n_units
    assert parts.missed_interval == pytest.approx(binomial_interval(parts.missed / 48 * n_defective, n_defective))
    assert parts.false_alarm_interval == pytest.approx(binomial_interval(parts.false_alarms / 60 * n_good, n_good))
    assert np.ptp(parts.missed_interval) > np.ptp(alone.missed_interval)
