from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve, roc_auc_score

from benchmark.metrics import resampled_pixels
from benchmark.metrics.pixel import PixelMetrics
from benchmark.metrics.pixel_counts import PixelCounts
from benchmark.metrics.resampled_pixels import common_bins
from benchmark.statistics.resampling import resample_counts

N, SIDE = 12, 32
LABELS = np.arange(N) % 2
FOLDS = np.arange(N) // 2 % 2


def made_set(seed: int = 0, *, n: int = N, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Smooth maps and masks (n, side, side); odd images have one or two defects, of which some hardly show."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((n, side, side), dtype=bool)
    for mask in masks[1::2]:
        for _ in range(rng.integers(1, 3)):
            top, left = rng.integers(0, side - 8, 2)
            mask[top : top + rng.integers(2, 8), left : left + rng.integers(2, 8)] = True
    noise = 6 * ndimage.gaussian_filter(rng.normal(size=masks.shape), (0, 2, 2))
    shown = rng.uniform(0.2, 3, (n, 1, 1)) * ndimage.gaussian_filter(masks.astype(float), (0, 1, 1))
    return np.exp(0.3 * (noise + 0.5 * rng.normal(size=(n, 1, 1)) + shown)).astype(np.float32), masks


def counted(maps: np.ndarray, masks: np.ndarray, folds: np.ndarray, **rows: np.ndarray) -> PixelMetrics:
    metrics = PixelMetrics()
    metrics.update(maps, masks, folds, **rows)
    return metrics


def best_threshold(masks: np.ndarray, maps: np.ndarray) -> float:
    precision, recall, thresholds = precision_recall_curve(masks.ravel(), maps.ravel())
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[np.argmax(f1[:-1])])


def slow_metrics(maps: np.ndarray, masks: np.ndarray, folds: np.ndarray) -> dict[str, float]:
    """The metrics of these images from every pixel, by scikit-learn; AUPRO by anomalib."""
    import torch
    from anomalib.metrics.aupro import _AUPRO

    truth, scores = masks.ravel(), maps.ravel()
    called = np.zeros(maps.shape, bool)
    free = np.zeros(maps.shape, bool)
    is_normal = ~masks.any(axis=(1, 2))
    for fold in (0, 1):
        here = folds == fold
        called[here] = maps[here] >= best_threshold(masks[~here], maps[~here])
        normal = np.sort(maps[~here & is_normal].ravel())
        n_above = int(resampled_pixels.NORMAL_SHARE * len(normal))
        free[here] = maps[here] > normal[-n_above - 1]
    found = {
        "pixel_AUROC": roc_auc_score(truth, scores),
        "pixel_AveragePrecision": average_precision_score(truth, scores),
        "pixel_F1Score": f1_score(truth, called.ravel()),
        "pixel_F1Max": f1_score(truth, scores >= best_threshold(masks, maps)),
        "pixel_F1LabelFree": f1_score(truth, free.ravel()),
    }
    for name, limit in resampled_pixels.PRO_LIMITS.items():
        stock = _AUPRO(fpr_limit=limit)
        stock.update(torch.from_numpy(maps), torch.from_numpy(masks).float())
        found[name] = float(stock.compute())
    return found


def test_resampled_metrics_are_those_of_the_images_literally_drawn() -> None:
    maps, masks = made_set()
    draws = resample_counts(LABELS, [f"{i}.png" for i in range(N)], n_resamples=8)
    order = np.random.default_rng(0).permutation(N)
    found = counted(maps[order], masks[order], FOLDS[order], rows=order).resampled(draws)
    for draw, times in enumerate(draws):
        images = np.repeat(np.arange(N), times)
        expected = slow_metrics(maps[images], masks[images], FOLDS[images])
        for name, value in expected.items():
            # A threshold that falls into another bin changes a cross-fitted F1 most.
            tolerance = 0.02 if name in ("pixel_F1Score", "pixel_F1LabelFree") else 0.003
            assert found[name][draw] == pytest.approx(value, abs=tolerance), name


def test_metrics_of_the_whole_test_set_are_those_of_slow_loops() -> None:
    maps, masks = made_set(1)
    found = counted(maps, masks, FOLDS).compute()
    expected = slow_metrics(maps, masks, FOLDS)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("steps", [False, True])
def test_aupimo_equals_that_of_anomalib(steps: bool, monkeypatch) -> None:
    import torch
    from anomalib.metrics.pimo.functional import aupimo_scores

    bounds = (1e-3, 1e-1)  # a rate that tiny maps resolve
    monkeypatch.setattr("benchmark.metrics.pixel.PIMO_BOUNDS", bounds)
    monkeypatch.setattr(resampled_pixels, "PIMO_BOUNDS", bounds)
    maps, masks = made_set(2)
    if steps:
        maps = np.round(maps, 2)
    found = counted(maps, masks, FOLDS)
    *_, areas, _ = aupimo_scores(torch.from_numpy(maps), torch.from_numpy(masks).int(), 20_000, bounds, force=True)
    assert found.compute()["pixel_AUPIMO"] == pytest.approx(
        float(np.nanmean(areas.numpy())), abs=0.01 if steps else 2e-3
    )
    whole = np.ones((3, N), int)
    np.testing.assert_allclose(found.resampled(whole)["pixel_AUPIMO"], found.compute()["pixel_AUPIMO"], atol=1e-12)


def test_aupimo_is_blank_where_its_false_positive_rate_is_less_than_a_pixel() -> None:
    found = counted(*made_set(), FOLDS).compute()
    assert [name for name, value in found.items() if value is None] == ["pixel_AUPIMO"]


def test_drawing_every_image_once_gives_the_metrics_themselves() -> None:
    metrics = counted(*made_set(), FOLDS)
    found, exact = metrics.resampled(np.ones((2, N), np.int32)), metrics.compute()
    for name, values in found.items():
        np.testing.assert_allclose(values, exact[name], atol=1e-12)
    assert found.keys() == {name for name, value in exact.items() if value is not None} - {
        "pixel_F1Floor", "pixel_binning_error",
    }  # fmt: skip


def test_steps_of_images_and_draws_change_nothing(monkeypatch) -> None:
    metrics = counted(*made_set(), FOLDS)
    draws = resample_counts(LABELS, [f"{i}" for i in range(N)], n_resamples=20)
    expected = metrics.resampled(draws)
    monkeypatch.setattr(resampled_pixels, "IMAGES_AT_ONCE", 5)
    monkeypatch.setattr(resampled_pixels, "DRAWS_AT_ONCE", 7)
    for name, values in metrics.resampled(draws).items():
        np.testing.assert_allclose(values, expected[name], atol=1e-6)


def test_a_metric_that_the_common_bins_cannot_tell_is_left_out(monkeypatch) -> None:
    maps, masks = made_set()
    draws = np.ones((2, N), int)
    monkeypatch.setattr("benchmark.metrics.pixel_counts.MAX_OF_IMAGE", 2)
    found = counted(maps, masks, FOLDS)
    assert "pixel_AUROC" not in found.resampled(draws)
    assert found.compute()["pixel_AUROC"] == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-4)


def test_a_metric_that_some_draw_has_not_is_left_out(monkeypatch) -> None:
    monkeypatch.setattr(resampled_pixels, "DRAWS_AT_ONCE", 2)
    draws = np.ones((6, N), int)
    draws[3, (LABELS == 0) & (FOLDS == 0)] = 0  # no normal image of this fold is drawn
    found = counted(*made_set(), FOLDS).resampled(draws)
    assert "pixel_F1LabelFree" not in found
    assert {len(values) for values in found.values()} == {6}


@pytest.mark.parametrize("value", [False, True])
def test_one_class_has_no_resamples(value: bool) -> None:
    maps, masks = made_set()
    assert counted(maps, np.full_like(masks, value), FOLDS).resampled(np.ones((2, N), int)) == {}
    assert PixelMetrics().resampled(np.ones((2, N), int)) == {}


def test_common_bins_are_few_keep_the_order_and_are_narrow_where_normal_pixels_are_rare() -> None:
    rng = np.random.default_rng(0)
    counts = PixelCounts()
    for row in range(4):
        scores = np.exp(rng.normal(size=20_000)).astype(np.float32)
        mask = np.arange(20_000) < (500 if row % 2 else 0)
        counts.add(scores, mask, row=row, fold=0, region_sizes=np.full(int(mask.sum()), 500))
    table = counts.table()
    groups = common_bins(table)
    assert groups[0] == 0
    assert set(np.diff(groups)) == {0, 1}
    assert 300 < groups[-1] + 1 <= 960
    negatives = np.bincount(groups[table.bins], table.negatives)
    assert negatives.max() < 0.01 * negatives.sum()
    assert negatives[-10:].sum() < 0.001 * negatives.sum()


@pytest.mark.slow
def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Of 150 small test sets of 16 images; the truth is that of 600 others."""
    n, side = 16, 16
    truth = counted(*made_set(99, n=600, side=side), np.arange(600) // 2 % 2).compute()
    names = ("pixel_AUROC", "pixel_AveragePrecision")
    held = dict.fromkeys(names, 0)
    draws = resample_counts(np.arange(n) % 2, [str(i) for i in range(n)], n_resamples=200)
    for seed in range(150):
        found = counted(*made_set(seed, n=n, side=side), np.arange(n) // 2 % 2).resampled(draws)
        for name in names:
            low, high = np.quantile(found[name], (0.025, 0.975))
            held[name] += low <= truth[name] <= high
    for name in names:
        assert 0.8 <= held[name] / 150 <= 0.99, held  # a percentile bootstrap of 8 and 8 images holds less than 95 %
