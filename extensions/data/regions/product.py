"""Tells the product from the background it lies on."""

import cv2
import numpy as np

_MIN_PART = 0.05
_EVEN_BORDER = 25.0


def foreground(image: np.ndarray) -> np.ndarray:
    """Estimate where the product is.

    The background is what looks like the image's border, when the border is even: pixels whose distance to the
    border's median color lies under Otsu's threshold (Otsu 1979) and that are joined with the border. Gaps much
    narrower than the image (busbars, grooves) count as product. Where the border is uneven, or less than 5 % or more
    than 95 % would be product, the product fills the image.

    Args:
        image: (H, W, 3) uint8.

    Returns:
        (H, W) bool, true on the product.
    """
    blurred = cv2.GaussianBlur(image, (0, 0), 1.0).astype(np.float32)
    border = np.concatenate([blurred[0], blurred[-1], blurred[:, 0], blurred[:, -1]])  # (2H + 2W, 3)
    color = np.median(border, axis=0)
    distance = np.clip(np.abs(blurred - color).max(axis=2), 0, 255).astype(np.uint8)
    everything = np.ones(image.shape[:2], dtype=bool)
    if np.abs(border - color).max(axis=1).mean() > _EVEN_BORDER:
        return everything
    _, product = cv2.threshold(distance, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    product = _close_gaps(product)
    product = _largest_parts(product)
    return product.astype(bool) if _MIN_PART < product.mean() < 1 - _MIN_PART else everything


def _close_gaps(product: np.ndarray) -> np.ndarray:
    """Fill holes and gaps up to a sixteenth of the image, then take back a narrow rim."""
    reach = max(3, min(product.shape) // 16) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    # Padded, or the closing would glue the product to the image's border.
    padded = cv2.copyMakeBorder(product, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)[reach:-reach, reach:-reach]
    contours, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(product)
    cv2.drawContours(filled, contours, -1, 1, thickness=cv2.FILLED)
    return cv2.erode(filled, np.ones((3, 3), np.uint8))


def _largest_parts(product: np.ndarray) -> np.ndarray:
    """Drop specks under a hundredth of the image."""
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(product)
    large = statistics[:, cv2.CC_STAT_AREA] > product.size / 100
    large[0] = False  # the background
    return large[parts].astype(np.uint8)
