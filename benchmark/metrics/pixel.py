"""Pixel-level metrics in one pass over the anomaly maps, in bounded memory."""

from __future__ import annotations

import cv2
import numpy as np

from benchmark.metrics import curves
from benchmark.metrics.histogram import ScoreHistogram

NAMES = ("AUROC", "AveragePrecision", "F1Score", "F1Max", "F1Floor", "AUPRO", "binning_error")
OVERLAP = 4  # channel of the region overlap; 0 to 3 are 2 * fold + label
WHOLE_REGION = 2**44  # a region's weights as whole numbers: to 1e-7 for a region of a million pixels


class PixelMetrics:
    """AUROC, average precision, F1 and AUPRO over all pixels, without keeping the maps.

    Scores are counted in bins (:class:`ScoreHistogram`), so results are those of scores rounded down by at most a part
    in 2^11, usually 2^17 or less. ``pixel_binning_error`` is half the share of pairs of an anomalous and a normal pixel
    that share a bin: the exact AUROC is within it. All counts are whole numbers, so other batches give the same result
    to the last digit; so does scaling by a power of two where scores span at most 32 powers of two.

    Memory: at most 42 MB of counts, 84 MB more in passing, 16 MB of waiting pixels and 50 bytes a pixel of one map.

    AUPRO: Bergmann et al. 2021, The MVTec Anomaly Detection Dataset, https://doi.org/10.1007/s11263-020-01400-4, up
    to a false positive rate of 0.3; regions are connected over 8 neighbors, as in anomalib.

    Example:
        >>> metrics = PixelMetrics()
        >>> metrics.update(anomaly_maps, masks, folds)
        >>> metrics.compute()["pixel_AUROC"]
    """

    def __init__(self) -> None:
        self._histogram = ScoreHistogram(channels=5)
        self._n_regions = 0

    def update(self, anomaly_maps: np.ndarray, masks: np.ndarray, folds: np.ndarray) -> None:
        """Count the pixels of some images: those whose mask is known, which for a normal image is empty.

        Args:
            anomaly_maps: ``(N, H, W)`` raw scores, higher is more anomalous; counted as float32.
            masks: ``(N, H, W)``, true where anomalous.
            folds: ``(N,)``, 0 or 1, the fold of each image.

        Raises:
            ValueError: Shapes differ, or a score is NaN or infinite; then no image of this call is counted.
        """
        maps, truth = np.ascontiguousarray(anomaly_maps, np.float32), np.ascontiguousarray(masks, bool)
        halves = np.asarray(folds)
        if maps.ndim != 3 or maps.shape != truth.shape or halves.shape != maps.shape[:1]:
            msg = (
                f"Got anomaly maps of shape {maps.shape}, masks of {truth.shape} and folds of {halves.shape}; "
                "expected (N, H, W), (N, H, W) and (N,)."
            )
            raise ValueError(msg)
        if broken := sum(int(one_map.size - np.isfinite(one_map).sum()) for one_map in maps):
            msg = f"{broken} of {maps.size} pixel scores are NaN or infinite; the model gives no usable anomaly maps."
            raise ValueError(msg)
        for one_map, mask, fold in zip(maps, truth, halves, strict=True):
            self._histogram.add(one_map.ravel(), 2 * int(fold) + mask.ravel().view(np.int8))
            if mask.any():
                self._add_regions(one_map, mask)

    def compute(self) -> dict[str, float | None]:
        """All pixel-level metrics of the images so far.

        Returns:
            ``pixel_*`` of AUROC, AveragePrecision, F1Score (two-fold cross-fit by image), F1Max, F1Floor, AUPRO and
            binning_error. All None when no pixel is anomalous or none is normal; ``pixel_F1Score`` alone is None when
            a fold lacks a class.
        """
        _, counts = self._histogram.counts()
        by_fold = counts[:OVERLAP].reshape(2, 2, -1)  # (fold, label, K)
        negatives, positives = by_fold.sum(axis=0)
        n_negatives, n_positives = int(negatives.sum()), int(positives.sum())
        if not n_negatives or not n_positives:
            return dict.fromkeys(f"pixel_{name}" for name in NAMES)
        overlap = counts[OVERLAP] / (WHOLE_REGION * self._n_regions)
        values = (
            curves.auroc(positives, negatives),
            curves.average_precision(positives, negatives),
            _cross_fit_f1(by_fold),
            curves.best_f1_index(positives, negatives)[1],
            curves.f1(true_positives=n_positives, false_positives=n_negatives, n_positives=n_positives),
            curves.pro_area(overlap, negatives),
            curves.same_score_share(positives, negatives) / 2,
        )
        return {f"pixel_{name}": value for name, value in zip(NAMES, values, strict=True)}

    def threshold(self) -> float | None:
        """Threshold with the highest F1 over all pixels when ``score >= threshold`` is anomalous.

        It is the lower edge of a bin, so it divides the counted pixels exactly. None when a class is absent.
        """
        edges, counts = self._histogram.counts()
        negatives, positives = counts[:OVERLAP].reshape(2, 2, -1).sum(axis=0)
        if not negatives.any() or not positives.any():
            return None
        return float(edges[curves.best_f1_index(positives, negatives)[0]])

    def _add_regions(self, one_map: np.ndarray, mask: np.ndarray) -> None:
        """Weigh each anomalous pixel by one over the size of its region."""
        n_labels, regions = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
        self._n_regions += n_labels - 1
        sizes = np.bincount(regions.ravel(), minlength=n_labels)
        weights = np.rint(WHOLE_REGION / np.maximum(sizes, 1)).astype(np.int64)  # a full mask has no background
        self._histogram.add_weights(one_map[mask], channel=OVERLAP, weights=weights[regions[mask]])


def _cross_fit_f1(by_fold: np.ndarray) -> float | None:
    """F1 of the pooled calls when each fold is judged by the best bin of the other; ``by_fold`` is (fold, label, K)."""
    if not by_fold.any(axis=-1).all():
        return None
    called = np.zeros(2)  # false positives, true positives
    for fold in (0, 1):
        negatives, positives = by_fold[1 - fold]
        index, _ = curves.best_f1_index(positives, negatives)
        called += by_fold[fold][:, index:].sum(axis=1)
    return curves.f1(true_positives=called[1], false_positives=called[0], n_positives=by_fold[:, 1].sum())
