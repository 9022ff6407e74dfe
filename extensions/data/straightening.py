"""Images brought to the place of a template, and maps brought back onto the images as they were taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from extensions.data.alignment.registration import Lie, scaled
from extensions.data.reading.pixels import shown

if TYPE_CHECKING:
    from extensions.data.imaging import Imaging


def levels_of(pixels: np.ndarray, imaging: Imaging) -> np.ndarray:
    """Gray levels (H, W) uint8 by which an image (H, W, C), as `read_pixels` gives it, is registered."""
    return cv2.cvtColor(np.ascontiguousarray(shown(pixels, imaging)), cv2.COLOR_RGB2GRAY)


def lie_in(pixels: np.ndarray, imaging: Imaging) -> Lie:
    """How an image (H, W, C) lies on the template of a data set that aligns.

    Raises:
        ValueError: It is of another shape than the template.
    """
    assert imaging.alignment is not None
    return imaging.alignment.lie(levels_of(pixels, imaging))


def aligned(pixels: np.ndarray, imaging: Imaging, lie: Lie, *, nearest: bool = False) -> np.ndarray:
    """An image (H, W, C) or mask (H, W) as it lies on the template, of the same size and numbers.

    What lies beyond the image has the value of the nearest pixel of its rim; of a mask it is 0.
    """
    matrix = _matrix(lie, imaging, (pixels.shape[0], pixels.shape[1]))
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR)
    border = cv2.BORDER_CONSTANT if nearest else cv2.BORDER_REPLICATE
    size = pixels.shape[1::-1]
    planes = [pixels] if pixels.ndim == 2 else [pixels[..., place] for place in range(pixels.shape[2])]
    moved = [cv2.warpAffine(np.ascontiguousarray(one), matrix, size, flags=flags, borderMode=border) for one in planes]
    return moved[0] if pixels.ndim == 2 else np.stack(moved, axis=-1)


def turned_back(anomaly_map: np.ndarray, imaging: Imaging, lie: Lie) -> np.ndarray:
    """A map (h, w) of an aligned image as it lies on the image as it was taken, (h, w) float32.

    Pixels of the image that the aligned one does not show have the lowest value of the map.
    """
    matrix = _matrix(lie, imaging, (anomaly_map.shape[0], anomaly_map.shape[1]))
    return cv2.warpAffine(
        np.float32(anomaly_map),
        matrix,
        anomaly_map.shape[::-1],
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=float(anomaly_map.min()),
    )


def _matrix(lie: Lie, imaging: Imaging, size: tuple[int, int]) -> np.ndarray:
    """From the template to the image where both have this height and width."""
    assert imaging.alignment is not None
    height, width = imaging.alignment.template.shape
    return scaled(lie.matrix, size[1] / width, size[0] / height)
