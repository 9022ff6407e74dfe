from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmark.metrics import curves
from benchmark.metrics import resampled_curves as resampled

N_DRAWS, N_BINS = 7, 40


@pytest.fixture
def counts() -> tuple[np.ndarray, np.ndarray]:
    """Positives and negatives (B, K) with empty bins, one row with all in one bin and one that is perfect."""
    rng = np.random.default_rng(0)
    positives = rng.integers(0, 50, (N_DRAWS, N_BINS)) * rng.integers(0, 2, (N_DRAWS, N_BINS))
    negatives = rng.integers(0, 900, (N_DRAWS, N_BINS)) * rng.integers(0, 2, (N_DRAWS, N_BINS))
    positives[0], negatives[0] = np.eye(N_BINS)[5] * 3, np.eye(N_BINS)[5] * 8
    positives[1, :20], negatives[1, 20:] = 0, 0
    positives[:, 21] += 1
    negatives[:, 7] += 1
    return positives.astype(np.float64), negatives.astype(np.float64)


@pytest.mark.parametrize(
    ("many", "one"),
    [
        (resampled.auroc, curves.auroc),
        (resampled.average_precision, curves.average_precision),
        (lambda p, n: resampled.best_f1(p, n)[0], lambda p, n: curves.best_f1_index(p, n)[0]),
        (lambda p, n: resampled.best_f1(p, n)[1], lambda p, n: curves.best_f1_index(p, n)[1]),
        (
            lambda p, n: resampled.pro_area(p, n, fpr_limit=0.3),
            lambda p, n: curves.pro_area(p / p.sum(), n, fpr_limit=0.3),
        ),
        (
            lambda p, n: resampled.pro_area(p, n, fpr_limit=0.05),
            lambda p, n: curves.pro_area(p / p.sum(), n, fpr_limit=0.05),
        ),
    ],
    ids=["auroc", "average precision", "best entry", "best f1", "aupro", "aupro at 0.05"],
)
def test_many_at_once_are_each_of_them_alone(counts, many: Callable, one: Callable) -> None:
    positives, negatives = counts
    tp, fp = resampled.from_above(positives), resampled.from_above(negatives)
    expected = [one(p, n) for p, n in zip(positives, negatives, strict=True)]
    np.testing.assert_allclose(many(tp, fp), expected, atol=1e-12)


def test_cross_fit_f1_equals_a_loop_over_folds(counts) -> None:
    positives, negatives = np.stack([counts[0], counts[0][::-1]]), np.stack([counts[1], counts[1][:, ::-1]])
    found = resampled.cross_fit_f1(resampled.from_above(positives), resampled.from_above(negatives))
    for draw in range(N_DRAWS):
        tp = fp = 0.0
        for fold in (0, 1):
            index, _ = curves.best_f1_index(positives[1 - fold, draw], negatives[1 - fold, draw])
            tp += positives[fold, draw, index:].sum()
            fp += negatives[fold, draw, index:].sum()
        expected = curves.f1(true_positives=tp, false_positives=fp, n_positives=positives[:, draw].sum())
        assert found[draw] == pytest.approx(expected, abs=1e-12)


def test_a_quantile_that_the_highest_entry_exceeds_calls_nothing() -> None:
    normals = resampled.from_above(np.array([[[90.0, 9, 1, 0], [0, 0, 0, 5]]]))  # (1, 2, K)
    np.testing.assert_array_equal(resampled.quantile_entry(normals, 0.01), [[2, 4]])
    np.testing.assert_array_equal(resampled.quantile_entry(normals, 0.1), [[1, 4]])
    ones = resampled.from_above(np.ones((2, 1, 4)))
    np.testing.assert_array_equal(resampled.f1_of_folds(ones, ones, np.array([[4], [4]])), [0.0])


def test_area_between_equals_a_fine_sum_over_interpolated_lines() -> None:
    rng = np.random.default_rng(1)
    x, y = np.sort(rng.random((5, 12)), axis=1), rng.random((5, 12))
    x[0] = np.linspace(0.4, 0.5, 12)  # it ends inside on both sides
    fine = 0.2 + 0.5 * (np.arange(200_000) + 0.5) / 200_000
    expected = [np.interp(fine, a, b).mean() for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(resampled.area_between(x, y, low=0.2, high=0.7), expected, atol=1e-5)
