from __future__ import annotations

import itertools
import tracemalloc
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from anomalib.metrics.aupro import _AUPRO
from scipy import ndimage
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from benchmark.metrics import pixel, pixel_counts
from benchmark.metrics.pixel import PixelMetrics


@dataclass
class Case:
    maps: np.ndarray  # (N, H, W) float32
    masks: np.ndarray  # (N, H, W) bool
    folds: np.ndarray  # (N,)

    def metrics(self, *, batch: int = 100) -> PixelMetrics:
        metrics = PixelMetrics()
        for start in range(0, len(self.maps), batch):
            part = slice(start, start + batch)
            metrics.update(self.maps[part], self.masks[part], self.folds[part])
        return metrics


def make_case(kind: str, *, n: int = 8, size: int = 40, seed: int = 0) -> Case:
    """Smooth maps over masks with several regions, two of them touching only at a corner; some images are normal."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((n, size, size), dtype=bool)
    masks[1::2, 3:7, 3:7] = masks[1::2, 7:12, 7:9] = True
    masks[1::4, 20:35, 15:30] = masks[3::4, 25, 25] = True
    noise = ndimage.gaussian_filter(rng.normal(size=masks.shape), (0, 2, 2))
    signal = ndimage.gaussian_filter(masks.astype(float), (0, 2, 2))
    maps = {
        "good": 20 * noise + 12 * signal,
        "weak": np.exp(5 * noise + signal),
        "negative": noise + signal - 50,
        "ties": np.round(4 * noise + 4 * signal),
        "constant": np.zeros(masks.shape),
        "wide": np.exp(80 * noise + 20 * signal) * rng.choice([-1, 1], size=masks.shape),
        "perfect": rng.random(masks.shape) + 2 * masks,
    }[kind]
    return Case(maps.astype(np.float32), masks, np.arange(n) // 2 % 2)


KINDS = ["good", "weak", "negative", "ties", "constant", "wide", "perfect"]


def slow_aupro(case: Case, *, limit: float = 0.3) -> float:
    """For each threshold: the share of normal pixels called anomalous, and the mean share of each region."""
    regions = []
    for i, mask in enumerate(case.masks):
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [case.maps[i][labels == k + 1] for k in range(count)]
    normal = case.maps[~case.masks]
    points = [(0.0, 0.0)]
    for threshold in np.unique(case.maps)[::-1]:
        points.append(((normal >= threshold).mean(), np.mean([(r >= threshold).mean() for r in regions])))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 >= limit or x0 == x1:
            continue
        end = min(x1, limit)
        y_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
        area += (end - x0) * (y0 + y_end) / 2
    return area / limit


@pytest.mark.parametrize("kind", KINDS)
def test_metrics_equal_scikit_learn_on_all_pixels(kind: str) -> None:
    case = make_case(kind)
    found, labels, scores = case.metrics().compute(), case.masks.ravel(), case.maps.ravel()
    assert found["pixel_AUROC"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-5)
    assert found["pixel_AveragePrecision"] == pytest.approx(average_precision_score(labels, scores), abs=1e-4)
    thresholds = np.unique(scores)[:: max(1, len(np.unique(scores)) // 300)]
    assert found["pixel_F1Max"] >= max(f1_score(labels, scores >= t) for t in thresholds) - 1e-4
    assert found["pixel_F1Floor"] == pytest.approx(f1_score(labels, np.ones_like(labels)), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_aupro_equals_stock_anomalib(kind: str) -> None:
    case = make_case(kind, n=12, size=64)
    stock = _AUPRO()
    stock.update(torch.from_numpy(case.maps), torch.from_numpy(case.masks).float())
    assert case.metrics().compute()["pixel_AUPRO"] == pytest.approx(float(stock.compute()), abs=1e-4)


@pytest.mark.parametrize("kind", ["good", "ties", "constant", "negative"])
def test_aupro_equals_a_slow_loop_over_thresholds_and_regions(kind: str) -> None:
    case = make_case(kind, n=4)
    assert case.metrics().compute()["pixel_AUPRO"] == pytest.approx(slow_aupro(case), abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_threshold_reaches_f1_max(kind: str) -> None:
    case = make_case(kind)
    metrics = case.metrics()
    called = case.maps.ravel() >= metrics.threshold()
    assert f1_score(case.masks.ravel(), called) == pytest.approx(metrics.compute()["pixel_F1Max"], abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_cross_fit_f1_uses_the_threshold_of_the_other_fold(kind: str) -> None:
    case = make_case(kind)
    called = np.zeros(case.masks.shape, dtype=bool)
    for fold in (0, 1):
        other = case.folds != fold
        called[~other] = (
            case.maps[~other] >= Case(case.maps[other], case.masks[other], case.folds[other]).metrics().threshold()
        )
    expected = f1_score(case.masks.ravel(), called.ravel())
    assert case.metrics().compute()["pixel_F1Score"] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("max_pages", [1, 32])
def test_binning_error_bounds_the_difference_to_the_exact_auroc(kind: str, max_pages: int) -> None:
    case = make_case(kind, n=4)
    metrics = PixelMetrics()
    metrics._histogram.max_pages = max_pages
    metrics.update(case.maps, case.masks, case.folds)
    found = metrics.compute()
    exact = roc_auc_score(case.masks.ravel(), case.maps.ravel())
    assert abs(found["pixel_AUROC"] - exact) <= found["pixel_binning_error"] + 1e-12


def test_scores_too_close_for_the_bins_show_in_the_binning_error() -> None:
    case = make_case("weak")
    case.maps = (case.maps + 1e6).astype(np.float32)  # float32 keeps steps of 1/16 here
    metrics = PixelMetrics()
    metrics._histogram.max_pages = 1
    metrics.update(np.concatenate([case.maps, -case.maps]), np.concatenate([case.masks] * 2), np.arange(16) % 2)
    assert 0.01 < metrics.compute()["pixel_binning_error"] <= 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_large_maps_counted_in_pieces_have_the_metrics_of_the_whole(kind: str, monkeypatch) -> None:
    case = make_case(kind)
    expected = case.metrics().compute()
    for module in (pixel, pixel_counts):
        monkeypatch.setattr(module, "PIECE", 300)
    assert case.metrics().compute() == expected


@pytest.mark.parametrize("kind", KINDS)
def test_batches_and_order_do_not_change_the_last_digit(kind: str) -> None:
    case = make_case(kind)
    expected = case.metrics().compute()
    for batch in (1, 3):
        assert case.metrics(batch=batch).compute() == expected
    order = np.random.default_rng(1).permutation(len(case.maps))
    assert Case(case.maps[order], case.masks[order], case.folds[order]).metrics(batch=2).compute() == expected


@pytest.mark.parametrize("factor", [2.0**-20, 2.0**10])
def test_scaling_by_a_power_of_two_changes_nothing(factor: float) -> None:
    case = make_case("good")
    scaled = Case(case.maps * np.float32(factor), case.masks, case.folds)
    assert scaled.metrics().compute() == case.metrics().compute()
    assert scaled.metrics().threshold() == case.metrics().threshold() * factor


def test_memory_is_bounded_while_the_range_of_scores_grows() -> None:
    rng = np.random.default_rng(0)
    metrics = PixelMetrics()
    mask = np.zeros((1, 256, 256), dtype=bool)
    mask[0, :20, :20] = True
    metrics.update(rng.random((1, 256, 256)), mask, np.zeros(1))
    tracemalloc.start()
    for i in range(60):
        scores = rng.normal(size=(1, 256, 256)).astype(np.float32) * np.float32(10.0) ** (i % 70 - 35)
        metrics.update(scores, mask, np.array([i % 2]))
    found = metrics.compute()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(metrics._histogram._pages) <= 32
    assert peak < 160e6
    assert found["pixel_binning_error"] < 1e-3


def test_extreme_floats_keep_their_order() -> None:
    top = np.finfo(np.float32).max
    values = np.array([-top, -1.0, -1e-45, 0.0, 1e-45, 1e-38, 1.0, top], dtype=np.float32)
    for cut in range(1, len(values)):
        metrics = PixelMetrics()
        metrics.update(values.reshape(1, 1, -1), np.arange(len(values)).reshape(1, 1, -1) >= cut, np.zeros(1))
        assert metrics.compute()["pixel_AUROC"] >= 0.9  # 1e-45 may share the bin of 0
        assert values[cut - 1] <= metrics.threshold() <= values[cut]


def test_minus_zero_equals_zero() -> None:
    metrics = PixelMetrics()
    metrics.update(np.array([[[-0.0, 0.0]]]), np.array([[[False, True]]]), np.zeros(1))
    assert metrics.compute()["pixel_AUROC"] == 0.5


@pytest.mark.parametrize("value", [False, True])
def test_one_class_gives_none_and_not_a_number(value: bool) -> None:
    metrics = PixelMetrics()
    assert set(metrics.compute().values()) == {None}
    metrics.update(np.random.default_rng(0).random((2, 8, 8)), np.full((2, 8, 8), value), np.arange(2))
    assert set(metrics.compute().values()) == {None}
    assert metrics.threshold() is None


def test_a_fold_without_anomalies_leaves_only_cross_fits_none() -> None:
    case = make_case("good")
    found = Case(case.maps, case.masks, np.arange(8) % 2).metrics().compute()
    missing = {name for name, value in found.items() if value is None}
    assert missing == {"pixel_F1Score", "pixel_F1LabelFree", "pixel_AUPIMO"}  # the last for want of normal pixels


def test_broken_scores_are_refused_and_not_counted() -> None:
    case = make_case("good")
    metrics = case.metrics()
    before = metrics.compute()
    broken = case.maps.copy()
    broken[2, 3, 4:7] = np.nan
    broken[7, 0, 0] = np.inf
    with pytest.raises(ValueError, match="4 of 12800 pixel scores are NaN or infinite"):
        metrics.update(broken, case.masks, case.folds)
    assert metrics.compute() == before


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(N, H, W\)"):
        PixelMetrics().update(np.zeros((2, 1, 8, 8)), np.zeros((2, 8, 8)), np.zeros(2))
