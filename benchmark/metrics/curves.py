"""Ranking metrics from counts of anomalous and normal samples at each distinct score.

Everywhere ``positives`` and ``negatives`` are ``(K,)`` counts at K distinct scores in ascending order. With one entry a
distinct score the results are exact; with bins they are those of scores rounded to their bin.
"""

from __future__ import annotations

import numpy as np

ROUNDING = 1e-9
"""Of a share times a count: 7 % of 100 is not more than 7."""


def true_false_positives(positives: np.ndarray, negatives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives when everything from entry k upward is called anomalous, each ``(K,)``."""
    return np.cumsum(positives[::-1])[::-1], np.cumsum(negatives[::-1])[::-1]


def auroc(positives: np.ndarray, negatives: np.ndarray) -> float:
    """Share of positive-negative pairs in the right order; a tie counts half."""
    below = np.cumsum(negatives) - negatives
    pairs = float(positives.sum()) * float(negatives.sum())
    return float(np.dot(positives.astype(np.float64), below + 0.5 * negatives) / pairs)


def same_score_share(positives: np.ndarray, negatives: np.ndarray) -> float:
    """Share of positive-negative pairs that have the same entry."""
    pairs = float(positives.sum()) * float(negatives.sum())
    return float(np.dot(positives.astype(np.float64), negatives.astype(np.float64)) / pairs)


def average_precision(positives: np.ndarray, negatives: np.ndarray) -> float:
    """Sum over thresholds of precision times the gain in recall (scikit-learn's definition, not interpolated)."""
    tp, fp = true_false_positives(positives, negatives)
    precision = tp / np.maximum(tp + fp, 1)
    return float(np.dot(precision, positives) / positives.sum())


def f1(*, true_positives: float, false_positives: float, n_positives: float) -> float:
    """F1 of one confusion; 0 when nothing is positive and nothing is called so."""
    whole = true_positives + false_positives + n_positives
    return float(2 * true_positives / whole) if whole else 0.0


def best_f1_index(positives: np.ndarray, negatives: np.ndarray) -> tuple[int, float]:
    """Entry k whose threshold (everything from k upward is anomalous) has the highest F1, and that F1.

    Among equal F1 the highest threshold wins.
    """
    tp, fp = true_false_positives(positives, negatives)
    scores = 2 * tp / np.maximum(tp + fp + tp[0], 1)
    index = len(scores) - 1 - int(np.argmax(scores[::-1]))
    return index, float(scores[index])


def recall_at_fpr(positives: np.ndarray, negatives: np.ndarray, *, limit: float) -> float:
    """Highest recall among the thresholds with a false positive rate of at most ``limit``; 0 where none has.

    Samples of one score are called alike, so ties above the limit lower it. Nothing is interpolated.
    """
    tp, fp = true_false_positives(positives, negatives)
    return float(tp[fp <= limit * fp[0] + ROUNDING].max(initial=0) / tp[0])


def fpr_at_recall(positives: np.ndarray, negatives: np.ndarray, *, limit: float) -> float:
    """Lowest false positive rate among the thresholds with a recall of at least ``limit``; nothing is interpolated."""
    tp, fp = true_false_positives(positives, negatives)
    return float(fp[tp >= limit * tp[0] - ROUNDING].min() / fp[0])


def pro_area(overlap: np.ndarray, negatives: np.ndarray, *, fpr_limit: float = 0.3) -> float:
    """Area under overlap against false positive rate up to ``fpr_limit``, divided by the limit.

    Bergmann et al. 2021, The MVTec Anomaly Detection Dataset, https://doi.org/10.1007/s11263-020-01400-4. The curve is
    cut at the limit by linear interpolation, as anomalib does.

    Args:
        overlap: ``(K,)``, for each entry the part of a region that has this score, averaged over regions; sums to 1.
        negatives: ``(K,)`` normal pixels.
        fpr_limit: Largest false positive rate that counts.
    """
    rate = np.concatenate([[0.0], np.cumsum(negatives[::-1]) / negatives.sum()])
    mean_overlap = np.concatenate([[0.0], np.cumsum(overlap[::-1])])
    inside = int(np.searchsorted(rate, fpr_limit, side="right"))
    # Of several points at the same rate the last counts: interpolate from the last point inside.
    if inside < len(rate):
        weight = (fpr_limit - rate[inside - 1]) / (rate[inside] - rate[inside - 1])
        edge = mean_overlap[inside - 1] + weight * (mean_overlap[inside] - mean_overlap[inside - 1])
    else:
        edge = mean_overlap[-1]
    x = np.concatenate([rate[:inside], [fpr_limit]])
    y = np.concatenate([mean_overlap[:inside], [edge]])
    return float(np.trapezoid(y, x) / fpr_limit)
