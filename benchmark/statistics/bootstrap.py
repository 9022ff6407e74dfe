"""The metrics of a detector in each resample of its test images, all resamples at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from benchmark.metrics.image import AT_FPR, AT_RECALL
from benchmark.statistics.resampling import RESAMPLES, resample_counts
from benchmark.statistics.sample import Sample
from benchmark.statistics.weighted_curve import WeightedCurve

IMAGE_METRICS = ("image_AUROC", "image_AveragePrecision", "image_F1Score", "image_F1Max", *AT_FPR, *AT_RECALL)
_CELLS = 100_000  # of an array that is held at a time: it fits a processor's cache


def row_values(samples: Sequence[Sample], metric: str) -> tuple[float, np.ndarray]:
    """A metric of a row: on its test images, and ``(B,)`` in the resamples of each category.

    The mean over categories of the mean over seeds; NaN where one has no value.
    """
    values = [sample_values(sample)[metric].mean(axis=0) for sample in samples]
    found = np.mean(values, axis=0)
    return float(found[0]), found[1:]


@lru_cache(maxsize=512)
def sample_values(sample: Sample) -> dict[str, np.ndarray]:
    """By name of a metric ``(S, 1 + B)``: on the test images, then in each resample.

    Those of a sample are kept, for every comparison of its row asks for them. A pixel metric starts with the mean of
    its resamples, for its own value stands in the record alone.
    """
    counts = kept_counts(sample.labels, sample.ids, sample.groups)
    seeds = [weighted_metrics(sample.labels, scores, sample.folds, counts) for scores in sample.scores]
    found = {name: np.stack([seed[name] for seed in seeds]) for name in IMAGE_METRICS}
    for name, values in sample.pixel.items():
        found[name] = np.column_stack([np.mean(values, axis=1), values])
    return found


def kept_counts(labels: np.ndarray, ids: tuple[str, ...], groups: tuple[str, ...] | None = None) -> np.ndarray:
    """Every image once, then the resamples, ``(1 + B, N)``; kept, for the rows of a data set share them."""
    return _counts(labels.tobytes(), labels.dtype.str, ids, groups)


@lru_cache(maxsize=16)
def _counts(labels: bytes, dtype: str, ids: tuple[str, ...], groups: tuple[str, ...] | None) -> np.ndarray:
    truth = np.frombuffer(labels, dtype)
    drawn = resample_counts(truth, ids, groups=groups, n_resamples=RESAMPLES)
    return np.vstack([np.ones((1, len(truth)), drawn.dtype), drawn])


def weighted_metrics(
    labels: np.ndarray, scores: np.ndarray, folds: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """The metrics of :func:`benchmark.metrics.image.image_metrics` on test sets that hold each image so many times.

    Args:
        labels: ``(N,)``, 0 good, 1 defective.
        scores: ``(N,)`` raw scores, higher is more anomalous.
        folds: ``(N,)``, 0 or 1; the threshold of the cross-fitted F1 is refitted in each resample.
        counts: ``(B, N)`` from :func:`benchmark.statistics.resampling.resample_counts`.

    Returns:
        Each of ``IMAGE_METRICS``, ``(B,)`` float64; NaN where a class is absent, or for ``image_F1Score`` in a fold.
    """
    step = max(1, _CELLS // max(1, len(scores)))
    parts = [
        _some_metrics(labels == 1, np.asarray(scores, np.float64), folds, counts[start : start + step])
        for start in range(0, len(counts), step)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in IMAGE_METRICS}


def _some_metrics(
    truth: np.ndarray, scores: np.ndarray, folds: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    curve = WeightedCurve(truth, scores, counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            "image_AUROC": curve.auroc(),
            "image_AveragePrecision": curve.average_precision(),
            "image_F1Score": _cross_fit_f1(truth, scores, folds, counts),
            "image_F1Max": curve.f1().max(axis=1),
            **{name: curve.recall_at_fpr(limit) for name, limit in AT_FPR.items()},
            **{name: curve.fpr_at_recall(limit) for name, limit in AT_RECALL.items()},
        }
    absent = (curve.n_positives == 0) | (curve.n_negatives == 0)
    return {name: np.where(absent, np.nan, values) for name, values in found.items()}


def _cross_fit_f1(truth: np.ndarray, scores: np.ndarray, folds: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """F1 of the pooled calls when each fold is judged by the best threshold of the other, ``(B,)``."""
    halves = [folds == fold for fold in (0, 1)]
    if not halves[0].any() or not halves[1].any():
        return np.full(len(counts), np.nan)
    curves = [WeightedCurve(truth[half], scores[half], counts[:, half]) for half in halves]
    hits, alarms = np.zeros(len(counts)), np.zeros(len(counts))
    for here, other in ((0, 1), (1, 0)):
        true_positives, false_positives = curves[here].called_at(curves[other].best_thresholds())
        hits, alarms = hits + true_positives, alarms + false_positives
    f1 = 2 * hits / (hits + alarms + curves[0].n_positives + curves[1].n_positives)
    lacking = [(curve.n_positives == 0) | (curve.n_negatives == 0) for curve in curves]
    return np.where(lacking[0] | lacking[1], np.nan, f1)
