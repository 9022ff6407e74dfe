"""The metrics of :mod:`benchmark.metrics.curves` for many resamples at once.

B resamples have counts at K distinct scores in ascending order. Each is summed once, by :func:`from_above`, and all
metrics share these sums: ``tp`` and ``fp``, ``(B, K)`` float64, are the positives and negatives from a score upward.
"""

from __future__ import annotations

import numpy as np


def from_above(counts: np.ndarray) -> np.ndarray:
    """Sum from entry k upward, any leading shape."""
    return np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1]


def at_entries(sums: np.ndarray) -> np.ndarray:
    """The counts whose :func:`from_above` this is."""
    counts = sums.copy()
    counts[..., :-1] -= sums[..., 1:]
    return counts


def auroc(tp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """Share of positive-negative pairs in the right order, a tie counts half; ``(B,)``."""
    below = fp[:, :1] - fp + 0.5 * at_entries(fp)
    return np.einsum("bk,bk->b", at_entries(tp), below) / (tp[:, 0] * fp[:, 0])


def average_precision(tp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """Sum over thresholds of precision times the gain in recall; ``(B,)``."""
    return np.einsum("bk,bk->b", tp / np.maximum(tp + fp, 1), at_entries(tp)) / tp[:, 0]


def best_f1(tp: np.ndarray, fp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Entry whose threshold has the highest F1, of equal ones the highest, and that F1; each ``(B,)``."""
    scores = 2 * tp / np.maximum(tp + fp + tp[:, :1], 1)
    index = scores.shape[1] - 1 - np.argmax(scores[:, ::-1], axis=1)
    return index, np.take_along_axis(scores, index[:, None], axis=1)[:, 0]


def f1_of_folds(tp: np.ndarray, fp: np.ndarray, first: np.ndarray) -> np.ndarray:
    """F1 of the pooled calls where each fold has a threshold of its own.

    Args:
        tp: ``(2, B, K)``, by fold.
        fp: ``(2, B, K)``.
        first: ``(2, B)``, entry from which a fold is called anomalous; K for none.

    Returns:
        ``(B,)``; 0 when nothing is positive and nothing called so.
    """
    n_entries = tp.shape[2]
    index = np.minimum(first, n_entries - 1)[..., None]
    hits, alarms = (
        np.where(first < n_entries, np.take_along_axis(one, index, axis=2)[..., 0], 0).sum(axis=0) for one in (tp, fp)
    )
    return 2 * hits / np.maximum(hits + alarms + tp[..., 0].sum(axis=0), 1)


def cross_fit_f1(tp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """F1 of the pooled calls when each fold, ``(2, B, K)``, is judged by the best entry of the other; ``(B,)``.

    Where the other fold has no positive its highest entry is taken, which calls almost nothing anomalous.
    """
    first = np.stack([best_f1(tp[1 - fold], fp[1 - fold])[0] for fold in (0, 1)])
    return f1_of_folds(tp, fp, first)


def quantile_entry(sums: np.ndarray, share: float) -> np.ndarray:
    """Lowest entry from which upward at most ``share`` of all, ``(..., K)``, lie; K where the last has more."""
    return (sums > share * sums[..., :1]).sum(axis=-1)


def area_between(x: np.ndarray, y: np.ndarray, *, low: float, high: float) -> np.ndarray:
    """Area under lines through points, over ``low`` to ``high`` and divided by that width.

    Args:
        x: ``(B, K)``, never falling along a row.
        y: ``(B, K)``; beyond the ends it stays as it is there.
        low: Where the area begins.
        high: Where it ends.
    """
    begun, unended = (x[:, 1:] > low).any(axis=0), (x[:, :-1] < high).any(axis=0)
    inside = slice(int((~begun).sum()), int(unended.sum()) + 1)
    x, y = x[:, inside], y[:, inside]
    left, right = np.clip(x[:, :-1], low, high), np.clip(x[:, 1:], low, high)
    width = np.diff(x, axis=1)
    slope = np.diff(y, axis=1) / np.where(width > 0, width, np.inf)
    heights = y[:, :-1] + slope * (0.5 * (left + right) - x[:, :-1])  # in the middle of what lies inside
    before, after = np.clip(x[:, 0], low, high) - low, high - np.clip(x[:, -1], low, high)
    return (np.einsum("bk,bk->b", right - left, heights) + before * y[:, 0] + after * y[:, -1]) / (high - low)


def from_highest(sums: np.ndarray) -> np.ndarray:
    """Of all the share from each entry upward, from none to all of them, ``(B, K + 1)``."""
    found = np.zeros((len(sums), sums.shape[1] + 1))
    np.divide(sums[:, ::-1], sums[:, :1], out=found[:, 1:])
    return found


def pro_area(overlap: np.ndarray, fp: np.ndarray, *, fpr_limit: float) -> np.ndarray:
    """As :func:`benchmark.metrics.curves.pro_area`; ``overlap`` is summed from above and starts with all regions."""
    return area_between(from_highest(fp), from_highest(overlap), low=0.0, high=fpr_limit)


def pimo_area(recalls: np.ndarray, normals: np.ndarray, *, fpr_bounds: tuple[float, float]) -> np.ndarray:
    """Mean over anomalous images of the area under recall against the logarithm of the false positive rate.

    Bertoldo et al. 2024, AUPIMO, https://arxiv.org/abs/2401.01984. The mean of the areas is the area under the mean.
    Differs from anomalib's in that the curve is cut at the bounds by interpolation, not at the nearest threshold.

    Args:
        recalls: The share of an image's anomalous pixels from each entry upward, summed over anomalous images.
        normals: Pixels of normal images from there upward; they have one size, so that all pixels together give the
            mean of their rates.
        fpr_bounds: Between which the area is taken.

    Returns:
        ``(B,)``; where the lowest rate above 0 is above the lower bound, recall is taken to fall on a line to there.
    """
    low, high = np.log(fpr_bounds)
    with np.errstate(divide="ignore"):
        x = np.log(from_highest(normals)[:, 1:])
    y = from_highest(recalls)[:, 1:]
    return area_between(np.where(np.isinf(x), low, x), y, low=low, high=high)
