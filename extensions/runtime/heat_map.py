"""Colors of anomaly maps, the same wherever one is shown."""

from functools import cache

import numpy as np


def heat_map(anomaly_map: np.ndarray, value_range: tuple[float, float]) -> np.ndarray:
    """An anomaly map (h, w) as colors (h, w, 3) uint8 RGB, blue at the low end of a range and below, red at the high.

    Turbo (Mikhailov 2019, https://research.google/blog/turbo-an-improved-rainbow-colormap-for-visualization/): it goes
    from blue to red as the usual JET does, but without JET's bands, which look like edges of a defect, and people who
    cannot tell red from green confuse fewer of its colors.
    """
    return heat_colors()[heat_levels(anomaly_map, value_range)]


def heat_levels(anomaly_map: np.ndarray, value_range: tuple[float, float]) -> np.ndarray:
    """The map as places in `heat_colors`, (h, w) uint8."""
    low, high = value_range
    return (np.clip((anomaly_map - low) / max(high - low, 1e-12), 0, 1) * 255).astype(np.uint8)


@cache
def heat_colors() -> np.ndarray:
    """From cold to hot, (256, 3) uint8 RGB."""
    import cv2

    return cv2.applyColorMap(np.arange(256, dtype=np.uint8)[None], cv2.COLORMAP_TURBO)[0, :, ::-1]


def hatched(image: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """An image (h, w, 3) uint8 RGB with fine diagonal lines over what lies outside, (h, w) bool: nobody looks there."""
    rows, columns = np.indices(outside.shape)
    step = max(6, min(outside.shape) // 40)
    lines = outside & ((rows + columns) % step < max(1, step // 6))
    found = image.copy()
    found[outside] = found[outside] // 2 + 64
    found[lines] = 235
    return found
