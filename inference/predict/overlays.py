"""What an operator sees: the image, its heat map and the outline of what is anomalous."""

from __future__ import annotations

import cv2
import numpy as np

from extensions.runtime.heat_map import hatched, heat_map
from inference.model.metadata import ModelInfo
from inference.model.predictors import Prediction

HEAT = 0.5  # at most so much of a pixel's color is the heat map's
OUTLINE = (255, 255, 0)  # RGB
COLORS = {"defective": (220, 30, 30), "unsure": (185, 110, 0), "good": (30, 150, 60), None: (90, 90, 90)}  # RGB
LABELS = {True: "anomalous", False: "normal", None: "no threshold"}
LARGEST_SIDE = 4096  # px, of an overlay; larger images are shown smaller


def overlay(image: np.ndarray, prediction: Prediction, info: ModelInfo) -> np.ndarray:
    """Draw a prediction over its image.

    Warm colors are scores near and above the pixel threshold; without one, near the highest of this map. The outline
    is where the map reaches the threshold. What is hatched is not looked at. The
    line below is red for defective, amber for unsure, green for good.

    Args:
        image: (H, W, 3) uint8 RGB.
        prediction: Of this image.
        info: Of the model.

    Returns:
        (H, W, 3) uint8 RGB, smaller where a side is more than 4096 px and the network is not one of tiles.
    """
    shown = image if info.tiling is not None else shrink_to(image, LARGEST_SIDE)
    drawn = heat_map_on(shown, prediction, info)
    has_band = info.upper_threshold is not None and prediction.verdict is not None
    word = str(prediction.verdict) if has_band else LABELS[prediction.pred_label]
    return _with_verdict(drawn, f"{word}  {prediction.pred_score:.4g}", COLORS[prediction.verdict])


def heat_map_on(shown: np.ndarray, prediction: Prediction, info: ModelInfo) -> np.ndarray:
    """What `overlay` draws, without a verdict and in the size given: (H, W, 3) uint8 RGB."""
    heat = _on_image(_normalized_map(prediction.anomaly_map, info), shown.shape[:2], info.region)  # 0 to 1
    weight = HEAT * np.minimum(1, 2 * heat)[..., None]  # what is cold stays as it is
    drawn = np.ascontiguousarray((shown * (1 - weight) + heat_map(heat, (0, 1)) * weight).astype(np.uint8))
    if info.pixel_threshold is not None:
        raw = _on_image(prediction.anomaly_map, shown.shape[:2], info.region, outside=-np.inf)
        outlines, _ = cv2.findContours(
            np.uint8(raw >= info.pixel_threshold), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
        )
        cv2.drawContours(drawn, outlines, -1, OUTLINE, max(1, min(drawn.shape[:2]) // 200))
    if prediction.inside is not None:
        drawn = hatched(drawn, _on_image(prediction.inside, shown.shape[:2], info.region) < 0.5)
    return drawn


def _normalized_map(anomaly_map: np.ndarray, info: ModelInfo) -> np.ndarray:
    """The map from 0 to 1, with 0.75 at the pixel threshold."""
    low = info.map_range[0] if info.map_range else float(anomaly_map.min())
    high = float(anomaly_map.max()) if info.pixel_threshold is None else low + (info.pixel_threshold - low) / 0.75
    return np.clip((anomaly_map - low) / max(high - low, 1e-12), 0, 1)


def _on_image(
    values: np.ndarray, size: tuple[int, int], region: tuple[float, float, float, float], outside: float = 0.0
) -> np.ndarray:
    """A map enlarged to the part of an image that it is of, (H, W)."""
    height, width = size
    top, left, bottom, right = (
        round(part * side) for part, side in zip(region, (height, width, height, width), strict=True)
    )
    whole = np.full(size, outside, np.float32)
    if bottom > top and right > left:
        whole[top:bottom, left:right] = cv2.resize(
            np.float32(values), (right - left, bottom - top), interpolation=cv2.INTER_LINEAR
        )
    return whole


def _with_verdict(drawn: np.ndarray, text: str, color: tuple[int, int, int]) -> np.ndarray:
    """A line below the image: verdict and raw score."""
    height = max(16, drawn.shape[0] // 14)
    line = np.full((height, drawn.shape[1], 3), color, np.uint8)
    scale = height / 34
    cv2.putText(line, text, (6, int(height * 0.72)), cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack([drawn, line])


def shrink_to(image: np.ndarray, side: int) -> np.ndarray:
    """The image, smaller where a side is more than `side` px."""
    factor = side / max(image.shape[:2])
    if factor >= 1:
        return image
    size = tuple(max(1, round(length * factor)) for length in image.shape[1::-1])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
