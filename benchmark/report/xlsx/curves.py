"""Points of the curves of a leading row, from the scores of its images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmark.tables.decision import LeadingRow

N_BINS = 24
MAX_POINTS = 400
Line = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Rates:
    """Shares from 0 to 1 at one threshold; `precision` is None where nothing is called defective."""

    false_alarms: float
    recall: float
    precision: float | None


def rates(row: LeadingRow) -> list[Rates]:
    """At the row's threshold, or at both of them."""
    if row.thresholds is None:
        return []
    labels, scores = _arrays(row)
    found = []
    for cut in row.thresholds.levels:
        called = scores >= cut
        right = float(labels[called].mean()) if called.any() else None
        found.append(Rates(float(called[labels == 0].mean()), float(called[labels == 1].mean()), right))
    return found


def histogram(row: LeadingRow) -> tuple[Line, Line]:
    """Outlines of the scores of good and of defective images: score against the share of that kind, 0 to 1."""
    labels, scores = _arrays(row)
    edges = np.histogram_bin_edges(scores, bins=N_BINS)
    return _outline(scores[labels == 0], edges), _outline(scores[labels == 1], edges)


def roc(row: LeadingRow) -> Line:
    """False alarms against defects found, shares from 0 to 1."""
    from sklearn.metrics import roc_curve

    x, y, _ = roc_curve(*_arrays(row))
    return _thinned(x, y)


def precision_recall(row: LeadingRow) -> Line:
    """Defects found against the share of defective images among those called so, from 0 to 1."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(*_arrays(row))
    return _thinned(recall[::-1], precision[::-1])


def _arrays(row: LeadingRow) -> tuple[np.ndarray, np.ndarray]:
    return row.scores["label"].to_numpy(int), row.scores["score"].to_numpy(float)


def _outline(scores: np.ndarray, edges: np.ndarray) -> Line:
    shares = np.histogram(scores, bins=edges)[0] / max(len(scores), 1)
    return np.repeat(edges, 2), np.concatenate([[0.0], np.repeat(shares, 2), [0.0]])


def _thinned(x: np.ndarray, y: np.ndarray) -> Line:
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), MAX_POINTS)).round().astype(int))
    return x[kept], y[kept]
