"""Image-level metrics and the threshold from one raw score an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.metrics import curves

Numbers = Sequence[float] | np.ndarray

BY_KIND = "image_AUROC/"
"""Before a defect's kind: the metric's name in records."""
AT_FPR = {"image_recall_at_FPR1": 0.01, "image_recall_at_FPR5": 0.05}
AT_RECALL = {"image_FPR_at_recall95": 0.95, "image_FPR_at_recall100": 1.0}
NAMES = (
    *("image_AUROC", "image_AveragePrecision", "image_F1Score", "image_F1Max", "image_F1Floor"),
    *AT_FPR,
    *AT_RECALL,
)


def image_metrics(labels: Numbers, scores: Numbers, folds: Numbers) -> dict[str, float | None]:
    """All image-level metrics of the protocol.

    Args:
        labels: ``(N,)``, 0 normal, 1 anomalous.
        scores: ``(N,)`` raw scores, higher is more anomalous.
        folds: ``(N,)``, 0 or 1, from :func:`benchmark.metrics.folds.stratified_folds`.

    Returns:
        ``image_AUROC``, ``image_AveragePrecision``, ``image_F1Score`` (two-fold cross-fit), ``image_F1Max``,
        ``image_F1Floor`` (everything called anomalous) and points of the ROC curve of these very images, shares from 0
        to 1: ``image_recall_at_FPR1`` and ``image_recall_at_FPR5`` (:func:`curves.recall_at_fpr`),
        ``image_FPR_at_recall95`` and ``image_FPR_at_recall100`` (:func:`curves.fpr_at_recall`). All None when one class
        is absent; ``image_F1Score`` alone is None when a fold lacks a class.

    Raises:
        ValueError: Lengths differ, a label is neither 0 nor 1, or a score is NaN or infinite.
    """
    truth, values = _checked(labels, scores)
    halves = np.asarray(folds)
    if halves.shape != truth.shape:
        msg = f"image_metrics got {len(truth)} labels and {len(halves)} folds; give one of each an image."
        raise ValueError(msg)
    if truth.all() or not truth.any():
        return dict.fromkeys(NAMES)
    _, positives, negatives = _counts(truth, values)
    n_positives = int(truth.sum())
    found = (
        curves.auroc(positives, negatives),
        curves.average_precision(positives, negatives),
        _cross_fit_f1(truth, values, halves),
        curves.best_f1_index(positives, negatives)[1],
        curves.f1(true_positives=n_positives, false_positives=len(truth) - n_positives, n_positives=n_positives),
        *(curves.recall_at_fpr(positives, negatives, limit=limit) for limit in AT_FPR.values()),
        *(curves.fpr_at_recall(positives, negatives, limit=limit) for limit in AT_RECALL.values()),
    )
    return dict(zip(NAMES, found, strict=True))


def auroc_by_kind(labels: Numbers, scores: Numbers, kinds: Sequence[str]) -> dict[str, float]:
    """AUROC of the anomalous images of each kind against all normal ones.

    Args:
        labels: ``(N,)``, 0 normal, 1 anomalous.
        scores: ``(N,)`` raw scores, higher is more anomalous.
        kinds: ``(N,)``, what an image shows, such as ``broken_large``; those of normal ones play no part.

    Returns:
        By ``image_AUROC/<kind>``; empty without normal images, and without kinds that have names.

    Raises:
        ValueError: As :func:`image_metrics`.
    """
    truth, values = _checked(labels, scores)
    told = np.asarray(kinds, dtype=object)
    found = {}
    for kind in sorted(set(told[truth]) - {""}) if not truth.all() else ():
        chosen = ~truth | (told == kind)
        _, positives, negatives = _counts(truth[chosen], values[chosen])
        found[f"{BY_KIND}{kind}"] = curves.auroc(positives, negatives)
    return found


def decision_metrics(labels: Numbers, scores: Numbers, threshold: float | None) -> dict[str, float | None]:
    """How good the yes/no decisions of a threshold are that no labelled image had a say in.

    Args:
        labels: ``(N,)``, 0 normal, 1 anomalous.
        scores: ``(N,)`` raw scores, higher is more anomalous.
        threshold: From here up an image is called anomalous; None for a model that has none of its own.

    Returns:
        ``label_free_Accuracy``, ``label_free_Precision`` (None when nothing is called anomalous), ``label_free_Recall``
        and ``label_free_F1Score``. All None without a threshold or when one class is absent.

    Raises:
        ValueError: As :func:`image_metrics`.
    """
    truth, values = _checked(labels, scores)
    names = [f"label_free_{name}" for name in ("Accuracy", "Precision", "Recall", "F1Score")]
    if threshold is None or truth.all() or not truth.any():
        return dict.fromkeys(names)
    called = values >= threshold
    hits, n_called, n_positives = int((called & truth).sum()), int(called.sum()), int(truth.sum())
    found = (
        float((called == truth).mean()),
        hits / n_called if n_called else None,
        hits / n_positives,
        curves.f1(true_positives=hits, false_positives=n_called - hits, n_positives=n_positives),
    )
    return dict(zip(names, found, strict=True))


def best_threshold(labels: Numbers, scores: Numbers) -> float | None:
    """Threshold with the highest F1 when ``score >= threshold`` is anomalous; of equal ones the highest.

    It lies halfway between the lowest score it accepts and the next lower one, so that on new images neither side is
    favored; F1 on these images is that at the accepted score. When everything is accepted it is the lowest score.

    Args:
        labels: ``(N,)``, 0 normal, 1 anomalous.
        scores: ``(N,)`` raw scores, higher is more anomalous.

    Returns:
        None when one class is absent.

    Raises:
        ValueError: Lengths differ, a label is neither 0 nor 1, or a score is NaN or infinite.
    """
    truth, values = _checked(labels, scores)
    if truth.all() or not truth.any():
        return None
    distinct, positives, negatives = _counts(truth, values)
    index, _ = curves.best_f1_index(positives, negatives)
    accepted = float(distinct[index])
    if index == 0:
        return accepted
    rejected = float(distinct[index - 1])
    middle = rejected / 2 + accepted / 2
    return middle if middle > rejected else accepted  # neighboring floats have no middle


def _checked(labels: Numbers, scores: Numbers) -> tuple[np.ndarray, np.ndarray]:
    """Labels as bool and scores as float64, or a ValueError."""
    truth, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != values.shape:
        msg = f"Got labels of shape {truth.shape} and scores of shape {values.shape}; give one of each an image."
        raise ValueError(msg)
    if not np.isin(truth, (0, 1)).all():
        msg = f"Labels must be 0 (normal) or 1 (anomalous), found {sorted({float(v) for v in truth} - {0.0, 1.0})[:5]}."
        raise ValueError(msg)
    if broken := int((~np.isfinite(values)).sum()):
        msg = f"{broken} of {len(values)} scores are NaN or infinite; the model gives no usable scores."
        raise ValueError(msg)
    return truth.astype(bool), values


def _counts(truth: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct scores in ascending order, and how many positives and negatives have each."""
    distinct, where = np.unique(values, return_inverse=True)
    positives = np.bincount(where[truth], minlength=len(distinct))
    return distinct, positives, np.bincount(where, minlength=len(distinct)) - positives


def _cross_fit_f1(truth: np.ndarray, values: np.ndarray, folds: np.ndarray) -> float | None:
    """F1 of the pooled calls when each fold is judged by the threshold of the other."""
    called = np.zeros(len(truth), dtype=bool)
    for fold in (0, 1):
        here = folds == fold
        threshold = best_threshold(truth[~here], values[~here])
        if threshold is None or truth[here].all() or not truth[here].any():
            return None
        called[here] = values[here] >= threshold
    return curves.f1(
        true_positives=int((called & truth).sum()),
        false_positives=int((called & ~truth).sum()),
        n_positives=int(truth.sum()),
    )
