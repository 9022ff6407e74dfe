"""Anomaly maps and masks to measure metrics on, made up."""

from __future__ import annotations

import cv2
import numpy as np


def made_up_maps(n_maps: int, side: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Smooth maps in [0, 1) that are higher in rectangles, of which every other image has one to three.

    Args:
        n_maps: How many.
        side: Height and width in px.
        seed: Another seed, other maps.

    Returns:
        (n_maps, side, side) float32, and bool where the rectangles are.
    """
    rng = np.random.default_rng(seed)
    maps = np.empty((n_maps, side, side), np.float32)
    masks = np.zeros((n_maps, side, side), bool)
    for i in range(n_maps):
        for _ in range(int(rng.integers(1, 4)) if i % 2 else 0):
            top, left = rng.integers(0, side - side // 4, 2)
            height, width = rng.integers(max(2, side // 25), side // 4, 2)
            masks[i, top : top + height, left : left + width] = True
        coarse = 0.5 * rng.random((14, 14), dtype=np.float32)
        maps[i] = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR)
        maps[i] += 0.25 * cv2.GaussianBlur(masks[i].astype(np.float32), (0, 0), side / 32)
    return maps / (maps.max() * 1.001), masks
