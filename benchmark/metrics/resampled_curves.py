"""The metrics of :mod:`benchmark.metrics.curves` for many resamples at once.

Everywhere the arrays are ``(B, K)`` float64: B resamples, counts at K distinct scores in ascending order.
"""

from __future__ import annotations

import numpy as np


def from_above(counts: np.ndarray) -> np.ndarray:
    """Sum from entry k upward, any leading shape."""
    return np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1]


def auroc(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Share of positive-negative pairs in the right order, a tie counts half; ``(B,)``."""
    below = np.cumsum(negatives, axis=1) - 0.5 * negatives
    return np.einsum("bk,bk->b", positives, below) / (positives.sum(axis=1) * negatives.sum(axis=1))


def average_precision(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Sum over thresholds of precision times the gain in recall; ``(B,)``."""
    tp, fp = from_above(positives), from_above(negatives)
    return np.einsum("bk,bk->b", tp / np.maximum(tp + fp, 1), positives) / tp[:, 0]


def best_f1(positives: np.ndarray, negatives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Entry whose threshold has the highest F1, of equal ones the highest, and that F1; each ``(B,)``."""
    tp, fp = from_above(positives), from_above(negatives)
    scores = 2 * tp / np.maximum(tp + fp + tp[:, :1], 1)
    index = scores.shape[1] - 1 - np.argmax(scores[:, ::-1], axis=1)
    return index, np.take_along_axis(scores, index[:, None], axis=1)[:, 0]


def f1_of_folds(positives: np.ndarray, negatives: np.ndarray, first: np.ndarray) -> np.ndarray:
    """F1 of the pooled calls where each fold has a threshold of its own.

    Args:
        positives: ``(2, B, K)``, by fold.
        negatives: ``(2, B, K)``.
        first: ``(2, B)``, entry from which a fold is called anomalous; K for none.

    Returns:
        ``(B,)``; 0 when nothing is positive and nothing called so.
    """
    none = np.zeros((*positives.shape[:2], 1))
    tp, fp = (
        np.take_along_axis(np.concatenate([from_above(one), none], axis=2), first[..., None], axis=2).sum(axis=(0, 2))
        for one in (positives, negatives)
    )
    return 2 * tp / np.maximum(tp + fp + positives.sum(axis=(0, 2)), 1)


def cross_fit_f1(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """F1 of the pooled calls when each fold, ``(2, B, K)``, is judged by the best entry of the other; ``(B,)``.

    Where the other fold has no positive its highest entry is taken, which calls almost nothing anomalous.
    """
    first = np.stack([best_f1(positives[1 - fold], negatives[1 - fold])[0] for fold in (0, 1)])
    return f1_of_folds(positives, negatives, first)


def quantile_entry(counts: np.ndarray, share: float) -> np.ndarray:
    """Lowest entry from which upward at most ``share`` of the counts, ``(..., K)``, lie; K where the last has more."""
    above = from_above(counts)
    return (above > share * above[..., :1]).sum(axis=-1)


def area_between(x: np.ndarray, y: np.ndarray, *, low: float, high: float) -> np.ndarray:
    """Area under lines through points, over ``low`` to ``high`` and divided by that width.

    Args:
        x: ``(B, K)``, never falling along a row.
        y: ``(B, K)``; beyond the ends it stays as it is there.
        low: Where the area begins.
        high: Where it ends.
    """
    left, right = np.clip(x[:, :-1], low, high), np.clip(x[:, 1:], low, high)
    width = np.diff(x, axis=1)
    slope = np.diff(y, axis=1) / np.where(width > 0, width, np.inf)
    heights = y[:, :-1] + slope * (0.5 * (left + right) - x[:, :-1])  # in the middle of what lies inside
    before, after = np.clip(x[:, 0], low, high) - low, high - np.clip(x[:, -1], low, high)
    return (np.einsum("bk,bk->b", right - left, heights) + before * y[:, 0] + after * y[:, -1]) / (high - low)


def pro_area(overlap: np.ndarray, negatives: np.ndarray, *, fpr_limit: float) -> np.ndarray:
    """As :func:`benchmark.metrics.curves.pro_area`; ``overlap`` sums to the number of regions."""
    start = np.zeros((len(negatives), 1))
    rate = np.concatenate([start, np.cumsum(negatives[:, ::-1], axis=1)], axis=1)
    found = np.concatenate([start, np.cumsum(overlap[:, ::-1], axis=1)], axis=1)
    return area_between(rate / rate[:, -1:], found / found[:, -1:], low=0.0, high=fpr_limit)


def pimo_area(recalls: np.ndarray, normals: np.ndarray, *, fpr_bounds: tuple[float, float]) -> np.ndarray:
    """Mean over anomalous images of the area under recall against the logarithm of the false positive rate.

    Bertoldo et al. 2024, AUPIMO, https://arxiv.org/abs/2401.01984. The mean of the areas is the area under the mean.
    Differs from anomalib's in that the curve is cut at the bounds by interpolation, not at the nearest threshold.

    Args:
        recalls: For each entry the share of an image's anomalous pixels that have it, summed over anomalous images.
        normals: Pixels of normal images; they have one size, so that all pixels together give the mean of their rates.
        fpr_bounds: Between which the area is taken.

    Returns:
        ``(B,)``; where the lowest rate above 0 is above the lower bound, recall is taken to fall on a line to there.
    """
    low, high = np.log(fpr_bounds)
    rate, found = np.cumsum(normals[:, ::-1], axis=1), np.cumsum(recalls[:, ::-1], axis=1)
    with np.errstate(divide="ignore"):
        x = np.log(rate / rate[:, -1:])
    return area_between(np.where(np.isinf(x), low, x), found / found[:, -1:], low=low, high=high)
