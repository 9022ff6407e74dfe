"""Pixel-level metrics in one pass over the anomaly maps, in bounded memory."""

from __future__ import annotations

import cv2
import numpy as np

from benchmark.metrics import curves
from benchmark.metrics.histogram import ScoreHistogram
from benchmark.metrics.pixel_counts import PIECE, CountTable, PixelCounts
from benchmark.metrics.resampled_curves import from_above
from benchmark.metrics.resampled_pixels import (
    PIMO_BOUNDS,
    PRO_LIMITS,
    DrawnCounts,
    normal_image_metrics,
    resampled_metrics,
)

COUNTED = ("AUROC", "AveragePrecision", "F1Score", "F1Max", "F1Floor", "AUPRO", "AUPRO_005", "binning_error")
NAMES = (*COUNTED, "AUPIMO", "F1LabelFree")
TOO_COARSE = 0.005
"""A metric whose value in the bins of the resamples differs by more from the finer one is not resampled."""
OVERLAP = 4  # channel of the region overlap; 0 to 3 are 2 * fold + label
WHOLE_REGION = 2**44  # a region's weights as whole numbers: to 1e-7 for a region of a million pixels


class PixelMetrics:
    """AUROC, average precision, F1, AUPRO and AUPIMO over all pixels, without keeping the maps.

    Scores are counted in bins (:class:`ScoreHistogram`), so results are those of scores rounded down by at most a part
    in 2^11, usually 2^17 or less. ``pixel_binning_error`` is half the share of pairs of an anomalous and a normal pixel
    that share a bin: the exact AUROC is within it. All counts are whole numbers, so other batches give the same result
    to the last digit; so does scaling by a power of two where scores span at most 32 powers of two.

    Memory: at most 42 MB of counts, 84 MB more in passing, 16 MB of waiting pixels and 50 bytes a pixel of one map, of
    at most 4 million pixels (beyond these 20 bytes, where the map has an anomalous pixel); for resamples, AUPIMO and
    label-free F1 those of :class:`PixelCounts`.

    AUPRO: Bergmann et al. 2021, The MVTec Anomaly Detection Dataset, https://doi.org/10.1007/s11263-020-01400-4, up
    to a false positive rate of 0.3, and of 0.05 as on MVTec AD 2; regions are connected over 8 neighbors, as in
    anomalib. AUPIMO: Bertoldo et al. 2024, https://arxiv.org/abs/2401.01984, the mean over anomalous images.

    Example:
        >>> metrics = PixelMetrics()
        >>> metrics.update(anomaly_maps, masks, folds)
        >>> metrics.compute()["pixel_AUROC"]
    """

    def __init__(self) -> None:
        self._histogram = ScoreHistogram(channels=5)
        self._by_image = PixelCounts()
        self._n_regions = 0
        self._n_images = 0
        self._computed: dict[str, float | None] | None = None  # of the images so far

    def update(
        self,
        anomaly_maps: np.ndarray,
        masks: np.ndarray,
        folds: np.ndarray,
        *,
        rows: np.ndarray | None = None,
        counted: np.ndarray | None = None,
    ) -> None:
        """Count the pixels of some images: those whose mask is known, which for a normal image is empty.

        Args:
            anomaly_maps: ``(N, H, W)`` raw scores, higher is more anomalous; counted as float32.
            masks: ``(N, H, W)``, true where anomalous.
            folds: ``(N,)``, 0 or 1, the fold of each image.
            rows: ``(N,)``, the place of each image in the test set. Default: the next ones.
            counted: ``(N, H, W)``, true for pixels that count, such as those in a region of interest. Default: all.

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
        places = np.arange(self._n_images, self._n_images + len(maps)) if rows is None else np.asarray(rows)
        for place, (one_map, mask, fold, row) in enumerate(zip(maps, truth, halves, places, strict=True)):
            seen, marked = one_map.ravel(), mask.ravel()
            if counted is not None:
                kept = np.broadcast_to(counted, maps.shape)[place]
                mask, seen, marked = mask & kept, one_map[kept], mask[kept]
            for start in range(0, len(seen), PIECE):
                piece = slice(start, start + PIECE)
                self._histogram.add(seen[piece], 2 * int(fold) + marked[piece].view(np.int8))
            sizes = self._add_regions(one_map, mask)
            self._by_image.add(seen, marked, row=int(row), fold=int(fold), region_sizes=sizes)
        self._n_images += len(maps)
        self._computed = None

    def compute(self) -> dict[str, float | None]:
        """All pixel-level metrics of the images so far.

        Returns:
            ``pixel_*`` of AUROC, AveragePrecision, F1Score (two-fold cross-fit by image), F1Max, F1Floor, AUPRO,
            AUPRO_005, binning_error, AUPIMO and F1LabelFree. All None when no pixel is anomalous or none is normal;
            ``pixel_F1Score`` alone is None when a fold lacks a class, ``pixel_F1LabelFree`` when a fold lacks images
            without anomalous pixels, ``pixel_AUPIMO`` when there are too few of these (a false positive rate of 1e-5
            would be less than a pixel).
        """
        _, counts = self._histogram.counts()
        by_fold = counts[:OVERLAP].reshape(2, 2, -1)  # (fold, label, K)
        negatives, positives = by_fold.sum(axis=0)
        n_negatives, n_positives = int(negatives.sum()), int(positives.sum())
        found: dict[str, float | None] = dict.fromkeys(f"pixel_{name}" for name in NAMES)
        if not n_negatives or not n_positives:
            return found
        overlap = counts[OVERLAP] / (WHOLE_REGION * self._n_regions)
        values = (
            curves.auroc(positives, negatives),
            curves.average_precision(positives, negatives),
            _cross_fit_f1(by_fold),
            curves.best_f1_index(positives, negatives)[1],
            curves.f1(true_positives=n_positives, false_positives=n_negatives, n_positives=n_positives),
            *(curves.pro_area(overlap, negatives, fpr_limit=limit) for limit in PRO_LIMITS.values()),
            curves.same_score_share(positives, negatives) / 2,
        )
        found |= {f"pixel_{name}": value for name, value in zip(COUNTED, values, strict=True)} | self._normal()
        self._computed = dict(found)
        return found

    def resampled(self, draws: np.ndarray) -> dict[str, np.ndarray]:
        """Pixel-level metrics of test sets drawn from the images so far.

        Values come from about a thousand bins, moved by what the metric of the whole test set is in finer ones more.

        Args:
            draws: ``(B, N)``, how often each draw has the image at that place of the test set.

        Returns:
            By name ``(B,)`` values; without metrics that are None or that those bins give to no better than 0.005.
        """
        fine = self._computed or self.compute()
        if fine["pixel_AUROC"] is None:
            return {}
        whole = np.ones((1, draws.shape[1]), dtype=draws.dtype)
        found = {}
        for name, values in resampled_metrics(self._by_image.table(), np.concatenate([whole, draws])).items():
            value = fine[name]
            if value is not None and abs(value - values[0]) <= TOO_COARSE:
                found[name] = np.clip(values[1:] + (value - values[0]), 0.0, 1.0)
        return found

    def threshold(self) -> float | None:
        """Threshold with the highest F1 over all pixels when ``score >= threshold`` is anomalous.

        It is the lower edge of a bin, so it divides the counted pixels exactly. None when a class is absent.
        """
        edges, counts = self._histogram.counts()
        negatives, positives = counts[:OVERLAP].reshape(2, 2, -1).sum(axis=0)
        if not negatives.any() or not positives.any():
            return None
        return float(edges[curves.best_f1_index(positives, negatives)[0]])

    def _normal(self) -> dict[str, float | None]:
        """The metrics whose thresholds come from normal images."""
        counts = _whole(self._by_image.table())
        of_normal = normal_image_metrics(counts, from_above(counts.positives), from_above(counts.negatives))
        found: dict[str, float | None] = {name: float(values[0]) for name, values in of_normal.items()}
        normals = counts.normals.sum(axis=(0, 1))  # (G,)
        if "pixel_AUPIMO" in found and normals[np.flatnonzero(normals)[-1]] > PIMO_BOUNDS[0] * normals.sum():
            del found["pixel_AUPIMO"]
        return found

    def _add_regions(self, one_map: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Weigh each anomalous pixel by one over the size of its region; return these sizes, ``(n anomalous,)``."""
        if not mask.any():
            return np.zeros(0, dtype=np.int64)
        n_labels, regions = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
        self._n_regions += n_labels - 1
        sizes = np.bincount(regions.ravel(), minlength=n_labels)[regions[mask]]
        weights = np.rint(WHOLE_REGION / sizes).astype(np.int64)
        self._histogram.add_weights(one_map[mask], channel=OVERLAP, weights=weights)
        return sizes


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


def _whole(table: CountTable) -> DrawnCounts:
    """Every image once, in the bins of the table."""
    normal, fold = (table.n_positives == 0)[table.images], table.folds[table.images]

    def total(counts: np.ndarray) -> np.ndarray:
        return np.bincount(table.bins, counts, minlength=table.n_bins)[None]  # (1, G)

    of_image = np.maximum(table.n_positives, 1)[table.images]
    return DrawnCounts(
        positives=np.stack([total(table.positives * (fold == one)) for one in (0, 1)]),
        negatives=np.stack([total(table.negatives * (fold == one)) for one in (0, 1)]),
        normals=np.stack([total(table.negatives * (normal & (fold == one))) for one in (0, 1)]),
        overlap=total(table.overlap),
        recalls=total(np.rint(WHOLE_REGION * (table.positives / of_image))),
    )
