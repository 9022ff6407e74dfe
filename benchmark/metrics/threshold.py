"""The threshold that a checkpoint carries, from the scores of the images that decide it."""

from __future__ import annotations

import numpy as np

from benchmark.metrics.image import best_threshold

NORMAL_QUANTILE = 0.99


def image_threshold(labels: np.ndarray, scores: np.ndarray) -> tuple[float | None, str]:
    """The threshold that a checkpoint carries, and how it was found.

    Args:
        labels: ``(N,)``, 0 normal, 1 anomalous.
        scores: ``(N,)`` raw scores, higher is more anomalous.

    Returns:
        That of maximal F1 where there are both kinds, a quantile where all are normal, None where none is.
    """
    if labels.any() and not labels.all():
        return best_threshold(labels, scores), "maximal F1 on all labelled test images"
    if labels.any():
        return None, "none, for no test image is normal"
    source = f"{NORMAL_QUANTILE:.0%} quantile of {len(scores)} held-out normal images"
    return float(np.quantile(scores, NORMAL_QUANTILE)), source
