"""Outlines of defects: where, and how strongly, a defect covers a picture."""

from __future__ import annotations

import cv2
import numpy as np

Size = tuple[int, int]


def rectangle(size: Size, center: tuple[float, float], extent: tuple[float, float], angle: float) -> np.ndarray:
    """A rotated rectangle: (H, W) float32, 1 inside.

    Args:
        size: (H, W) px.
        center: (x, y) px.
        extent: (width, height) px.
        angle: degrees.
    """
    corners = cv2.boxPoints((center, (max(extent[0], 1.0), max(extent[1], 1.0)), angle))
    return _filled(size, corners)


def ellipse(size: Size, center: tuple[float, float], extent: tuple[float, float], angle: float) -> np.ndarray:
    """A rotated ellipse, arguments as in `rectangle`."""
    return _outline(size, center, extent, angle, np.ones(64))


def blob(
    size: Size, center: tuple[float, float], extent: tuple[float, float], angle: float, rng: np.random.Generator
) -> np.ndarray:
    """An ellipse whose radius wavers by up to a half, arguments as in `rectangle`."""
    turn = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    radius = np.ones_like(turn)
    for harmonic in range(2, 8):
        radius += rng.normal(0, 0.35 / harmonic) * np.cos(harmonic * turn + rng.uniform(0, 2 * np.pi))
    return _outline(size, center, extent, angle, np.clip(radius, 0.5, 1.5))


def crack(size: Size, start: tuple[float, float], length: float, width: float, rng: np.random.Generator) -> np.ndarray:
    """A thin line that wanders and may branch: (H, W) float32, between 0 and 1 on its rim.

    Args:
        size: (H, W) px.
        start: (x, y) px.
        length: px along the line.
        width: px; fractions make the line weaker.
        rng: draws the course.
    """
    canvas = np.zeros(size, dtype=np.uint8)
    heading = rng.uniform(0, 2 * np.pi)
    _wander(canvas, np.array(start), heading, length, max(1, round(width)), rng)
    if rng.random() < 0.35:
        turn = rng.choice([-1, 1]) * rng.uniform(0.5, 1.3)
        _wander(canvas, np.array(start), heading + turn, length * rng.uniform(0.3, 0.8), max(1, round(width)), rng)
    line = cv2.GaussianBlur(canvas.astype(np.float32) / 255, (0, 0), 0.6)
    return line * min(1.0, width)


def _wander(
    canvas: np.ndarray, start: np.ndarray, heading: float, length: float, width: int, rng: np.random.Generator
) -> None:
    """Draw a line of short straight pieces whose heading drifts."""
    drift, step = rng.uniform(0.02, 0.25), rng.uniform(4, 12)
    points = [start]
    for _ in range(max(2, int(length / step))):
        heading += rng.normal(0, drift)
        points.append(points[-1] + step * np.array([np.cos(heading), np.sin(heading)]))
    fixed = np.round(np.array(points) * 16).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(canvas, [fixed], isClosed=False, color=255, thickness=width, lineType=cv2.LINE_AA, shift=4)


def _outline(
    size: Size, center: tuple[float, float], extent: tuple[float, float], angle: float, radius: np.ndarray
) -> np.ndarray:
    turn = np.linspace(0, 2 * np.pi, len(radius), endpoint=False)
    x, y = radius * np.cos(turn) * extent[0] / 2, radius * np.sin(turn) * extent[1] / 2
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return _filled(size, np.stack([center[0] + cos * x - sin * y, center[1] + sin * x + cos * y], axis=1))


def _filled(size: Size, corners: np.ndarray) -> np.ndarray:
    canvas = np.zeros(size, dtype=np.uint8)
    cv2.fillPoly(canvas, [np.round(corners).astype(np.int32)], 1)
    return canvas.astype(np.float32)
