import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import average_precision_score

from benchmark.metrics.folds import stratified_folds
from benchmark.metrics.image import image_metrics
from benchmark.statistics.bootstrap import IMAGE_METRICS, row_values, sample_values, weighted_metrics
from benchmark.statistics.resampling import resample_counts
from tests.benchmark.statistics.fabricated_samples import made_sample


@pytest.mark.parametrize("decimals", [6, 0])  # without and with ties
def test_every_metric_of_a_resample_is_that_of_the_images_it_draws(decimals):
    rng = np.random.default_rng(4)
    labels = np.repeat([0, 1], [9, 14])
    scores = np.round(rng.normal(size=23) * 2 + labels * 1.5, decimals)
    folds = stratified_folds(labels, seed=0)
    counts = resample_counts(labels, [f"{i}" for i in range(23)], n_resamples=60)
    found = weighted_metrics(labels, scores, folds, counts)
    for b, count in enumerate(counts):
        drawn = np.repeat(np.arange(23), count)
        naive = image_metrics(labels[drawn], scores[drawn], folds[drawn])
        for name in IMAGE_METRICS:
            expected = np.nan if naive[name] is None else naive[name]
            assert found[name][b] == pytest.approx(expected, abs=1e-6, nan_ok=True), (name, b)


def test_chunks_of_resamples_join(monkeypatch):
    sample = made_sample(n_good=10, n_defective=10)
    counts = resample_counts(sample.labels, sample.ids, n_resamples=50)
    whole = weighted_metrics(sample.labels, sample.scores[0], sample.folds, counts)
    monkeypatch.setattr("benchmark.statistics.bootstrap._CELLS", 140)
    for name, values in weighted_metrics(sample.labels, sample.scores[0], sample.folds, counts).items():
        np.testing.assert_array_equal(values, whole[name])


def test_spread_of_resamples_is_that_of_scipy():
    sample = made_sample(n_good=25, n_defective=25, shift=1.2)
    good, bad = sample.scores[0][sample.labels == 0], sample.scores[0][sample.labels == 1]

    def precision(first: np.ndarray, second: np.ndarray) -> float:
        return average_precision_score(np.repeat([0, 1], [len(first), len(second)]), np.append(first, second))

    drawn = bootstrap((good, bad), precision, n_resamples=600, vectorized=False, method="percentile", rng=0)
    ours = sample_values(sample)["image_AveragePrecision"][0, 1:]
    assert ours.std(ddof=1) == pytest.approx(drawn.standard_error, rel=0.12)
    assert np.quantile(ours, [0.025, 0.975]) == pytest.approx(list(drawn.confidence_interval), abs=0.03)


def test_row_is_the_mean_of_seeds_and_of_categories():
    samples = [made_sample(n_good=8, n_defective=8, n_seeds=2, name=name) for name in ("bolt", "nut")]
    value, resamples = row_values(samples, "image_AUROC")
    each = [image_metrics(s.labels, line, s.folds)["image_AUROC"] for s in samples for line in s.scores]
    assert value == pytest.approx(np.mean(each))
    assert resamples.shape == (1000,)


def test_without_a_class_no_metric_has_a_value():
    labels = np.zeros(5, int)
    found = weighted_metrics(labels, np.arange(5.0), np.array([0, 1, 0, 1, 0]), np.ones((1, 5), int))
    assert all(np.isnan(values).all() for values in found.values())
