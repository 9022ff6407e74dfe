"""Pixel metrics of test sets drawn again: images are drawn with replacement, never pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmark.metrics import resampled_curves as curves
from benchmark.metrics.pixel_counts import CountTable

PRO_LIMITS = {"pixel_AUPRO": 0.3, "pixel_AUPRO_005": 0.05}
PIMO_BOUNDS = (1e-5, 1e-4)
NORMAL_SHARE = 0.001
"""Of the pixels of normal images that the label-free threshold calls anomalous."""
IMAGES_AT_ONCE = 256
DRAWS_AT_ONCE = 128


@dataclass(frozen=True)
class DrawnCounts:
    """Counts of B drawn test sets in K bins that ascend in score.

    Attributes:
        positives: ``(2, B, K)`` anomalous pixels by fold.
        negatives: ``(2, B, K)`` normal pixels by fold.
        normals: ``(2, B, K)`` those of them that lie in images without an anomalous pixel.
        overlap: ``(B, K)`` anomalous pixels, each divided by the pixels of its region.
        recalls: ``(B, K)`` anomalous pixels, each divided by those of its image.
    """

    positives: np.ndarray
    negatives: np.ndarray
    normals: np.ndarray
    overlap: np.ndarray
    recalls: np.ndarray

    def __getitem__(self, part: slice) -> DrawnCounts:
        """Some of the drawn test sets, in float64."""
        by_fold = (one[:, part].astype(np.float64) for one in (self.positives, self.negatives, self.normals))
        return DrawnCounts(*by_fold, *(one[part].astype(np.float64) for one in (self.overlap, self.recalls)))


def resampled_metrics(table: CountTable, draws: np.ndarray) -> dict[str, np.ndarray]:
    """Pixel metrics of each drawn test set, in about a thousand bins.

    Args:
        table: Counts by image.
        draws: ``(B, N)`` how often each image of the test set is drawn, in the order of ``CountTable.rows``.

    Returns:
        By name ``(B,)`` values. Where a draw has no anomalous pixel in a fold, ``pixel_F1Score`` is that of the highest
        bin as threshold; a metric that some draw has not at all is left out. Memory: 32 KB a draw, some 10 MB in
        passing, and 4 MB for the images of one step.
    """
    counts = drawn_counts(table, draws[:, table.rows], common_bins(table))
    parts = [drawn_metrics(counts[start : start + DRAWS_AT_ONCE]) for start in range(0, len(draws), DRAWS_AT_ONCE)]
    names = [name for name in parts[0] if all(name in part for part in parts)]
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def drawn_metrics(counts: DrawnCounts) -> dict[str, np.ndarray]:
    """By name ``(B,)`` values of the metrics that vary with the images."""
    of_folds = [curves.from_above(one) for one in (counts.positives, counts.negatives)]
    tp, fp = (one.sum(axis=0) for one in of_folds)
    overlap = curves.from_above(counts.overlap)
    return {
        "pixel_AUROC": curves.auroc(tp, fp),
        "pixel_AveragePrecision": curves.average_precision(tp, fp),
        "pixel_F1Score": curves.cross_fit_f1(*of_folds),
        "pixel_F1Max": curves.best_f1(tp, fp)[1],
        **{name: curves.pro_area(overlap, fp, fpr_limit=one) for name, one in PRO_LIMITS.items()},
        **normal_image_metrics(counts, *of_folds),
    }


def normal_image_metrics(counts: DrawnCounts, tp: np.ndarray, fp: np.ndarray) -> dict[str, np.ndarray]:
    """Those whose thresholds come from normal images alone: ``pixel_AUPIMO`` and ``pixel_F1LabelFree``, ``(B,)``.

    Of label-free F1: the threshold of a fold is the lowest one from which upward at most 0.1 % of the pixels lie that
    are in normal images of the other fold; no mask of a defect has a say. As the thresholds of MVTec AD 2 (mean plus
    three standard deviations of normal images, 0.13 % of a normal distribution), but from ranks.

    ``tp`` and ``fp``, ``(2, B, K)``, are the positives and negatives of the counts from each bin upward.

    Each is left out where a draw lacks what it needs: normal pixels, in either fold for the F1; an anomalous image.
    """
    found = {}
    normals = curves.from_above(counts.normals)
    if normals[..., 0].sum(axis=0).all() and counts.recalls.any(axis=1).all():
        recalls = curves.from_above(counts.recalls)
        found["pixel_AUPIMO"] = curves.pimo_area(recalls, normals.sum(axis=0), fpr_bounds=PIMO_BOUNDS)
    if normals[..., 0].all():
        found["pixel_F1LabelFree"] = curves.f1_of_folds(tp, fp, curves.quantile_entry(normals[::-1], NORMAL_SHARE))
    return found


def common_bins(table: CountTable) -> np.ndarray:
    """Of each bin of the table its place among at most 960 wider ones, ``(G,)``.

    Their edges are quantiles of the normal and of the anomalous pixels, and closer together where few normal pixels
    lie, down to one in a million: small false positive rates are what AUPRO, AUPIMO and F1 look at.
    """
    is_normal = (table.n_positives == 0)[table.images]
    edges = [np.zeros(1, dtype=np.int64)]
    for counts, n_even, n_narrow, rarest in (
        (table.negatives, 256, 128, 1e-6),
        (table.negatives * is_normal, 0, 128, 1e-6),
        (table.positives, 384, 63, 1e-4),
    ):
        above = np.cumsum(np.bincount(table.bins, counts, minlength=table.n_bins)[::-1])
        shares = np.concatenate([np.linspace(0, 1, n_even + 1)[1:], np.geomspace(rarest, 1, n_narrow)])
        reached = np.searchsorted(above, shares * above[-1])
        edges.append(table.n_bins - 1 - np.minimum(reached, table.n_bins - 1))
    return np.searchsorted(np.unique(np.concatenate(edges)), np.arange(table.n_bins), side="right") - 1


def drawn_counts(table: CountTable, draws: np.ndarray, groups: np.ndarray) -> DrawnCounts:
    """Counts of the drawn images together, as products of matrices in float32.

    Args:
        table: Counts by image.
        draws: ``(B, N)`` how often each image of the table is drawn.
        groups: ``(G,)`` bin of the result of each bin of the table.
    """
    n_draws, n_bins = len(draws), int(groups[-1]) + 1
    found = DrawnCounts(
        *(np.zeros((2, n_draws, n_bins), np.float32) for _ in range(3)),
        *(np.zeros((n_draws, n_bins), np.float32) for _ in range(2)),
    )
    for images, (negatives, positives, overlap) in _dense(table, groups, n_bins):
        times, folds = draws[:, images].astype(np.float32), table.folds[images]
        n_positives = table.n_positives[images]
        for fold in (0, 1):
            normal, defective = (folds == fold) & (n_positives == 0), (folds == fold) & (n_positives > 0)
            of_normal = times[:, normal] @ negatives[normal]
            found.normals[fold] += of_normal
            found.negatives[fold] += of_normal + times[:, defective] @ negatives[defective]
            found.positives[fold] += times[:, defective] @ positives[defective]
        some = n_positives > 0
        found.overlap[:] += times[:, some] @ overlap[some]
        found.recalls[:] += times[:, some] @ (positives[some] / n_positives[some, None].astype(np.float32))
    return found


def _dense(table: CountTable, groups: np.ndarray, n_bins: int) -> Iterator[tuple[slice, list[np.ndarray]]]:
    """Some images after the other, with their negatives, positives and overlap, each ``(n, K)`` float32."""
    of_entry = table.images
    for start in range(0, len(table.rows), IMAGES_AT_ONCE):
        images = slice(start, min(start + IMAGES_AT_ONCE, len(table.rows)))
        part = slice(table.starts[images.start], table.starts[images.stop])
        cells = (of_entry[part] - start) * n_bins + groups[table.bins[part]]
        shape = (images.stop - start, n_bins)
        yield (
            images,
            [
                np.bincount(cells, counts[part], minlength=shape[0] * n_bins).astype(np.float32).reshape(shape)
                for counts in (table.negatives, table.positives, table.overlap)
            ],
        )
