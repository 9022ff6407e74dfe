"""Of each part the image that decides whether a threshold errs on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def part_ends(truth: np.ndarray, scores: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Mark of each part its highest good image and its lowest defective one: no error on these, none on the part.

    Args:
        truth: ``(N,)``, true for defective images.
        scores: ``(N,)`` raw, higher is more anomalous.
        groups: ``(N,)``, the part that each image is of.

    Returns:
        ``(N,)`` bool; of equal scores the first.
    """
    _, part_of = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    toward = np.where(truth, scores, -scores)
    order = np.lexsort((toward, truth, part_of))
    first = np.ones(len(order), dtype=bool)
    first[1:] = (part_of[order][1:] != part_of[order][:-1]) | (truth[order][1:] != truth[order][:-1])
    ends = np.zeros(len(order), dtype=bool)
    ends[order[first]] = True
    return ends
