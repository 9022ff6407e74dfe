import dataclasses

import numpy as np
import pytest
from MLstatkit import Delong_test
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

from benchmark.metrics.image import image_metrics
from benchmark.statistics.comparison import compare, holm, rank_ranges
from benchmark.statistics.resampling import resample_counts
from tests.benchmark.statistics.fabricated_samples import made_sample


def another(sample, *, noise: float, seed: int = 7):
    """The same images under a detector with more noise."""
    rng = np.random.default_rng(seed)
    return dataclasses.replace(sample, scores=sample.scores + noise * rng.normal(size=sample.scores.shape))


@pytest.mark.parametrize("decimals", [6, 0])  # without and with ties
@pytest.mark.parametrize("noise", [0.3, 1.5])
def test_delong_is_that_of_a_published_implementation(noise, decimals):
    first = made_sample(n_good=30, n_defective=45)
    second = another(first, noise=noise)
    first, second = (dataclasses.replace(s, scores=np.round(s.scores, decimals)) for s in (first, second))
    _, p, _, _, auc_first, auc_second, facts = Delong_test(first.labels, first.scores[0], second.scores[0])
    found = compare([first], [second], metric="image_AUROC")
    assert facts["method"] == "delong"
    assert found.difference == pytest.approx(auc_first - auc_second)
    assert found.p == pytest.approx(p, rel=1e-6)
    assert (found.high - found.low) / 2 == pytest.approx(1.959964 * np.sqrt(facts["var_diff"]), rel=1e-6)


def test_bootstrap_is_that_of_a_naive_loop():
    first = made_sample(n_good=12, n_defective=15)
    second = another(first, noise=1.0)
    draws = []
    for count in resample_counts(first.labels, first.ids):
        drawn = np.repeat(np.arange(27), count)
        values = [
            image_metrics(s.labels[drawn], s.scores[0][drawn], s.folds[drawn])["image_AveragePrecision"]
            for s in (first, second)
        ]
        draws.append(values[0] - values[1])
    found = compare([first], [second], metric="image_AveragePrecision")
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=1e-6)
    as_far = np.sum(np.abs(np.array(draws) - found.difference) >= abs(found.difference) - 1e-9)
    assert found.p == pytest.approx((1 + as_far) / 1001, abs=0.002)


def test_a_great_difference_survives_holm_over_many_pairs():
    first = made_sample(n_good=60, n_defective=60, shift=3)
    found = compare([first], [another(first, noise=8)], metric="image_AveragePrecision")
    assert found.p < 1e-4
    assert holm([found.p, *[0.5] * 400])[0] < 0.05


@pytest.mark.parametrize("metric", ["image_AUROC", "image_F1Score", "image_recall_at_FPR5"])
def test_row_is_no_better_than_itself(metric):
    row = [made_sample(n_good=20, n_defective=20)]
    found = compare(row, row, metric=metric)
    assert (found.difference, found.p) == (0, 1)


@pytest.mark.parametrize("metric", ["image_AUROC", "image_AveragePrecision", "image_F1Score"])
def test_two_faultless_detectors_cannot_be_told_apart_and_the_interval_says_how_little_is_known(metric):
    first = made_sample(n_good=20, n_defective=60, shift=50)
    found = compare([first], [another(first, noise=0.5)], metric=metric)
    assert (found.difference, found.p) == (0, 1)
    assert found.high == pytest.approx(0.139, abs=5e-4)
    assert found.low == -found.high


@pytest.mark.parametrize("metric", ["image_AUROC", "image_AveragePrecision"])
@pytest.mark.parametrize("n_seeds", [1, 3])
def test_turning_round_changes_the_sign_alone(metric, n_seeds):
    first = made_sample(n_good=20, n_defective=20, n_seeds=n_seeds)
    second = another(first, noise=1)
    one, other = (compare([a], [b], metric=metric) for a, b in ((first, second), (second, first)))
    assert one.difference == pytest.approx(-other.difference)
    assert one.low == pytest.approx(-other.high, abs=0.01)
    assert one.p == pytest.approx(other.p, abs=0.01)


def test_images_are_matched_by_name():
    first = made_sample(n_good=15, n_defective=15)
    second = another(first, noise=1)
    order = np.random.default_rng(0).permutation(30)
    turned = dataclasses.replace(
        second,
        labels=second.labels[order],
        scores=second.scores[:, order],
        folds=second.folds[order],
        ids=tuple(second.ids[i] for i in order),
    )
    for metric in ("image_AUROC", "image_AveragePrecision"):
        expected = compare([first], [second], metric=metric)
        assert compare([first], [turned], metric=metric).p == pytest.approx(expected.p)


def test_other_images_are_refused():
    first, second = (made_sample(n_good=5, n_defective=5, name=name) for name in ("bolt", "nut"))
    with pytest.raises(ValueError, match=r"same images: 20 are of one alone, such as bolt/000\.png"):
        compare([first], [second], metric="image_AUROC")


def test_more_spread_over_seeds_widens_the_interval_and_one_seed_is_told():
    calm = made_sample(n_good=20, n_defective=20, n_seeds=3, noise=0.01)
    wild = dataclasses.replace(calm, scores=calm.scores - np.array([[0.0], [1.5], [3.0]]) * calm.labels)
    for metric in ("image_AUROC", "image_AveragePrecision"):
        three = compare([calm], [wild], metric=metric)
        first_seeds = [dataclasses.replace(s, scores=s.scores.mean(axis=0, keepdims=True)) for s in (calm, wild)]
        one = compare(first_seeds[:1], first_seeds[1:], metric=metric)
        assert three.high - three.low > 2 * (one.high - one.low)
        assert (three.n_seeds, three.note) == (3, "")
        assert one.note.startswith("one seed")


def test_rows_are_means_over_categories():
    first = [made_sample(n_good=15, n_defective=15, name=name, seed=i) for i, name in enumerate(("bolt", "nut"))]
    second = [another(sample, noise=1.5) for sample in first]
    means = [np.mean([roc_auc_score(s.labels, s.scores[0]) for s in row]) for row in (first, second)]
    found = compare(first, second, metric="image_AUROC")
    assert found.difference == pytest.approx(means[0] - means[1])
    assert found.n_images == 60
    single = compare(first[:1], second[:1], metric="image_AUROC")
    assert found.high - found.low < single.high - single.low


def test_holm_multiplies_the_smallest_by_their_number_and_leaves_what_was_not_compared():
    np.testing.assert_allclose(holm([0.03, np.nan, 0.01, 0.5]), [0.06, np.nan, 0.03, 0.5])
    assert holm([]) == []


@pytest.mark.parametrize("n", [1, 2, 9, 50])
def test_holm_equals_that_of_statsmodels(n):
    p = np.random.default_rng(n).random(n).round(2) ** 3  # with ties
    np.testing.assert_array_equal(holm(p.tolist()), multipletests(p, method="holm")[1])
    assert (holm(p.tolist()) >= p).all()


def test_ranks_are_ranges_where_rows_are_not_told_apart():
    apart = {frozenset(pair): True for pair in (("a", "d"), ("b", "d"), ("c", "d"), ("a", "c"))}
    ranges = rank_ranges(["b", "a", "d", "c"], [0.9, 0.95, 0.5, 0.8], told_apart=apart)
    assert ranges == {"a": "1–2", "b": "1–3", "c": "2–3", "d": "4"}
