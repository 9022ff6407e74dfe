import dataclasses

import numpy as np
import pytest

from benchmark.statistics.requirement import Cost, Requirement
from benchmark.statistics.resampled_errors import errors_p, resampled_errors
from benchmark.statistics.resampling import resample_counts
from benchmark.statistics.thresholds import Calibration, operating_point
from tests.benchmark.statistics.fabricated_samples import made_sample

REQUIREMENTS = [
    Requirement(max_false_alarms=0.05),
    Requirement(max_false_alarms=0.3),
    Requirement(max_missed=0.1),
    Requirement(max_missed=0.0),
    Requirement(max_missed=0.1, max_false_alarms=0.1),
    Requirement(cost=Cost(missed=500, false_alarm=3, defect_rate=0.004)),
]


def p_of(first, second, requirement):
    return errors_p(resampled_errors([first], requirement), resampled_errors([second], requirement))


def counted(point):
    """What a requirement counts, from an operating point."""
    if point.requirement.has_band:
        return point.unsure
    if point.requirement.cost is not None:
        return point.cost / 1000
    if point.requirement.max_false_alarms is not None:
        return point.missed / point.n_defective
    return point.false_alarms / point.n_good


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda one: one.told)
@pytest.mark.parametrize("decimals", [6, 0])  # without and with ties
def test_on_the_images_themselves_it_is_the_operating_point(requirement, decimals):
    parts = [made_sample(n_good=33, n_defective=47, n_seeds=2, name=name, seed=seed) for seed, name in enumerate("ab")]
    parts = [dataclasses.replace(one, scores=np.round(one.scores, decimals)) for one in parts]
    found = resampled_errors(parts, requirement)[:, 0].mean()
    assert found == pytest.approx(counted(operating_point(parts, requirement)), abs=1e-12)


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda one: one.told)
def test_with_calibration_images_it_is_the_operating_point(requirement):
    sample, known = made_sample(n_good=20, n_defective=30), made_sample(n_good=25, n_defective=12, name="known", seed=3)
    calibration = [Calibration(labels=known.labels, scores=known.scores)]
    found = resampled_errors([sample], requirement, calibration=calibration)[0, 0]
    assert found == pytest.approx(counted(operating_point([sample], requirement, calibration=calibration)), abs=1e-12)


def test_a_resample_is_a_test_set_with_images_that_are_there_so_often():
    sample, requirement = made_sample(n_good=30, n_defective=30), Requirement(max_false_alarms=0.2)
    count = resample_counts(sample.labels, sample.ids)[4]
    drawn = np.repeat(np.arange(60), count)
    copied = dataclasses.replace(
        sample,
        labels=sample.labels[drawn],
        scores=sample.scores[:, drawn],
        folds=sample.folds[drawn],
        ids=tuple(str(place) for place in range(len(drawn))),
    )
    found = resampled_errors([sample], requirement)[0, 5] * 30
    # Thresholds lie halfway to the next image of all, not of those drawn: an image or two may lie between.
    assert found == pytest.approx(operating_point([copied], requirement).missed, abs=2)


def test_equal_detectors_are_rarely_told_apart_and_unequal_ones_are():
    requirement, rng = Requirement(max_false_alarms=0.1), np.random.default_rng(0)
    p_values = {"equal": [], "unequal": []}
    for seed in range(30):
        first = made_sample(n_good=50, n_defective=50, noise=0.0, seed=seed)
        own = rng.normal(size=(2, 1, 100))
        one, other = (dataclasses.replace(first, scores=first.scores + noise) for noise in own)
        worse = dataclasses.replace(first, scores=first.scores - 3 * first.labels)
        p_values["equal"].append(p_of(one, other, requirement))
        p_values["unequal"].append(p_of(first, worse, requirement))
    assert np.mean(np.array(p_values["equal"]) < 0.05) <= 0.15
    assert np.mean(np.array(p_values["unequal"]) < 0.05) >= 0.85


def test_a_detector_cannot_be_told_from_itself_nor_where_a_threshold_needs_images_that_lack():
    sample = made_sample(n_good=20, n_defective=20)
    assert p_of(sample, sample, Requirement(max_missed=0.0)) == 1.0
    one_half = dataclasses.replace(sample, folds=np.zeros(40, int))
    assert p_of(one_half, one_half, Requirement(max_missed=0.0)) == 1.0


def test_spread_over_seeds_makes_a_difference_less_sure():
    first = made_sample(n_good=60, n_defective=60, n_seeds=3, noise=0.05)
    second = dataclasses.replace(first, scores=first.scores - 0.8 * first.labels)
    apart = dataclasses.replace(second, scores=second.scores + np.array([[0], [1], [-1]]) * first.labels)
    requirement = Requirement(max_false_alarms=0.1)
    assert p_of(first, apart, requirement) > p_of(first, second, requirement)
