"""ROC curves of many resamples of the same test images, from one sort."""

from __future__ import annotations

import numpy as np

from benchmark.metrics.curves import ROUNDING


class WeightedCurve:
    """True and false positives at every distinct score, from the highest down, in every resample.

    Args:
        truth: ``(N,)`` bool, true where defective.
        scores: ``(N,)`` raw scores, higher is more anomalous.
        counts: ``(B, N)``, how often each resample holds each image. Counts stay exact up to 16 million images.

    Attributes:
        thresholds: ``(K,)`` distinct scores, descending; of one that a resample does not hold the counts are those of
            the one before.
        true_positives: ``(B, K)`` float32, when everything from the threshold upward is called defective.
        false_positives: Likewise.
        n_positives: ``(B,)``, defective images in the resample.
        n_negatives: ``(B,)``, good ones.
    """

    def __init__(self, truth: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> None:
        order = np.argsort(-scores, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
        drawn = counts[:, order].astype(np.float32)
        called = np.cumsum(drawn, axis=1)[:, ends]
        self.thresholds = scores[order][ends]
        self.true_positives = np.cumsum(drawn * truth[order].astype(np.float32), axis=1)[:, ends]
        self.false_positives = called - self.true_positives
        self.n_positives = self.true_positives[:, -1].astype(np.float64)
        self.n_negatives = self.false_positives[:, -1].astype(np.float64)

    def auroc(self) -> np.ndarray:
        """Share of pairs in the right order, a tie counting half, ``(B,)``."""
        above = self.false_positives - _steps(self.false_positives) / 2
        wrong = (_steps(self.true_positives) * above).sum(axis=1, dtype=np.float64)
        return 1 - wrong / (self.n_positives * self.n_negatives)

    def average_precision(self) -> np.ndarray:
        """Precision times the gain in recall, summed, not interpolated, ``(B,)``."""
        precision = self.true_positives / np.maximum(self.true_positives + self.false_positives, 1)
        return (_steps(self.true_positives) * precision).sum(axis=1, dtype=np.float64) / self.n_positives

    def f1(self) -> np.ndarray:
        """F1 at every threshold, ``(B, K)`` float32."""
        whole = self.true_positives + self.false_positives + self.true_positives[:, -1:]
        return 2 * self.true_positives / np.maximum(whole, 1)

    def recall_at_fpr(self, limit: float) -> np.ndarray:
        """As :func:`benchmark.metrics.curves.recall_at_fpr`, ``(B,)``."""
        allowed = np.floor(limit * self.n_negatives + ROUNDING)[:, None]
        return np.where(self.false_positives <= allowed, self.true_positives, 0).max(axis=1) / self.n_positives

    def fpr_at_recall(self, limit: float) -> np.ndarray:
        """As :func:`benchmark.metrics.curves.fpr_at_recall`, ``(B,)``."""
        needed = np.ceil(limit * self.n_positives - ROUNDING)[:, None]
        return np.where(self.true_positives >= needed, self.false_positives, np.inf).min(axis=1) / self.n_negatives

    def best_thresholds(self) -> np.ndarray:
        """As :func:`benchmark.metrics.image.best_threshold` with the images of each resample, ``(B,)``."""
        called = self.true_positives + self.false_positives
        best = np.argmax(self.f1(), axis=1)  # the first of equal ones: the highest threshold, and one that is held
        at_best = np.take_along_axis(called, best[:, None], axis=1)
        more = called > at_best
        accepted, rejected = self.thresholds[best], self.thresholds[np.argmax(more, axis=1)]
        middle = rejected / 2 + accepted / 2
        return np.where(more.any(axis=1) & (middle > rejected), middle, accepted)

    def called_at(self, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """True and false positives of each resample at a threshold of its own, each ``(B,)``.

        Args:
            thresholds: ``(B,)``.
        """
        index = np.searchsorted(-self.thresholds, -thresholds, side="right") - 1
        rows = np.arange(len(thresholds))
        found = [np.where(index < 0, 0, array[rows, index]) for array in (self.true_positives, self.false_positives)]
        return found[0].astype(np.float64), found[1].astype(np.float64)


def _steps(sums: np.ndarray) -> np.ndarray:
    """What each entry of a running sum adds, ``(B, K)``; as `numpy.diff` with a first column, but faster."""
    steps = sums.copy()
    steps[:, 1:] -= sums[:, :-1]
    return steps
