import dataclasses

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmark.statistics.auroc import Variance, image_variance, influences, seed_aurocs
from benchmark.statistics.intervals import auroc_interval, effective_interval, metric_intervals
from benchmark.statistics.sample import Sample
from tests.benchmark.statistics.fabricated_samples import made_sample


def test_aurocs_of_seeds_are_those_of_scikit_learn():
    sample = made_sample(n_good=12, n_defective=9, n_seeds=3)
    sample = dataclasses.replace(sample, scores=np.round(sample.scores))
    expected = [roc_auc_score(sample.labels, scores) for scores in sample.scores]
    np.testing.assert_allclose(seed_aurocs(sample), expected)


def test_variance_of_groups_of_one_image_is_that_of_images_and_copies_of_images_add_nothing():
    sample = made_sample(n_good=12, n_defective=9)
    alone = image_variance(sample, influences(sample)).value
    named = dataclasses.replace(sample, groups=sample.ids)
    assert image_variance(named, influences(named)).value == pytest.approx(alone)
    twice = Sample(
        labels=np.tile(sample.labels, 2),
        scores=np.tile(sample.scores, 2),
        folds=np.tile(sample.folds, 2),
        ids=tuple(f"{name}#{view}" for view in (0, 1) for name in sample.ids),
        groups=sample.ids * 2,
    )
    assert image_variance(twice, influences(twice)).value == pytest.approx(alone)
    assert auroc_interval([twice]) == pytest.approx(auroc_interval([sample]))
    views = dataclasses.replace(twice, groups=None)
    assert image_variance(views, influences(views)).value < 0.6 * alone


def test_interval_holds_the_value_and_narrows_with_images_and_with_categories():
    widths = []
    for n in (20, 80):
        sample = made_sample(n_good=n, n_defective=n)
        low, high = auroc_interval([sample])
        assert low < seed_aurocs(sample).mean() < high
        widths.append(high - low)
    several = [made_sample(n_good=20, n_defective=20, name=f"{i}", seed=i) for i in range(4)]
    low, high = auroc_interval(several)
    assert widths[1] < widths[0]
    assert high - low < widths[0]


def test_faultless_images_leave_what_their_number_cannot_show():
    sample = made_sample(n_good=20, n_defective=60, shift=50)
    low, high = auroc_interval([sample])
    assert low**20 == pytest.approx(0.05)  # twenty pairs without a common image, all right by chance
    assert high == 1


def test_interval_of_a_nearly_faultless_detector_is_not_above_that_of_a_faultless_one():
    scores = np.append(np.arange(20.0), 19.5 + np.arange(60))[None]
    sample = made_sample(n_good=20, n_defective=60)
    faultless = dataclasses.replace(sample, scores=scores)
    one_wrong = dataclasses.replace(sample, scores=np.where(scores == 19.5, 18.5, scores))
    assert auroc_interval([one_wrong])[0] <= auroc_interval([faultless])[0]


@pytest.mark.parametrize("shift", [1.0, 50.0])
def test_every_metric_has_an_interval_of_some_width_that_holds_it(shift):
    from benchmark.metrics.image import image_metrics

    sample = made_sample(n_good=15, n_defective=20, shift=shift)
    values = image_metrics(sample.labels, sample.scores[0], sample.folds)
    found = metric_intervals([sample])
    assert set(found) == set(values) - {"image_F1Floor"}
    for name, (low, high) in found.items():
        assert 0 <= low <= values[name] <= high <= 1
        assert high - low > 0.02


def test_points_of_the_curve_are_unknown_below_where_images_can_show_them():
    few, many = (made_sample(n_good=n, n_defective=60, shift=4) for n in (20, 1000))
    assert metric_intervals([few])["image_recall_at_FPR1"][0] == 0
    assert metric_intervals([many])["image_recall_at_FPR1"][0] > 0.5
    assert metric_intervals([many])["image_FPR_at_recall100"][1] == 1


def test_pixel_metrics_take_the_resamples_they_are_given():
    rng = np.random.default_rng(0)
    sample = dataclasses.replace(
        made_sample(n_good=30, n_defective=30), pixel={"pixel_AUROC": 0.8 + 0.02 * rng.normal(size=(2, 1000))}
    )
    low, high = metric_intervals([sample])["pixel_AUROC"]
    assert high - low == pytest.approx(2 * 2.05 * 0.02 / np.sqrt(2), rel=0.15)


def test_without_a_class_there_are_no_intervals():
    sample = made_sample(n_good=6, n_defective=0)
    assert metric_intervals([sample]) == {}


def test_one_image_of_a_class_tells_nothing_of_auroc():
    assert auroc_interval([made_sample(n_good=30, n_defective=1)]) == (0, 1)


def test_effective_interval_of_many_images_is_the_normal_one():
    low, high = effective_interval(0.5, Variance(value=1e-6, doubt=0))
    assert (low, high) == pytest.approx((0.5 - 1.96e-3, 0.5 + 1.96e-3), abs=1e-6)
