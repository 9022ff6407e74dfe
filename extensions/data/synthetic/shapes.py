"""Outlines of defects: where, and how strongly, a defect covers an image."""

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
    heading, thickness = rng.uniform(0, 2 * np.pi), max(1, round(width))
    course = _wander(np.array(start), heading, length, rng)
    courses = [course]
    for _ in range(rng.choice([0, 1, 2], p=[0.55, 0.3, 0.15])):
        fork = course[rng.integers(len(course) // 4, len(course))]
        turn = rng.choice([-1, 1]) * rng.uniform(0.4, 1.3)
        courses.append(_wander(fork, heading + turn, length * rng.uniform(0.2, 0.6), rng))
    for points in courses:
        fixed = np.round(points * 16).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(canvas, [fixed], isClosed=False, color=255, thickness=thickness, lineType=cv2.LINE_AA, shift=4)
    line = cv2.GaussianBlur(canvas.astype(np.float32) / 255, (0, 0), 0.7)
    return line * min(1.0, width)


def _wander(start: np.ndarray, heading: float, length: float, rng: np.random.Generator) -> np.ndarray:
    """(N, 2) corners of a line of short pieces whose heading drifts, at times sharply."""
    drift, step = rng.uniform(0.02, 0.3), rng.uniform(3, 9)
    points = [start]
    for _ in range(max(3, int(length / step))):
        heading += rng.normal(0, drift) + (rng.normal(0, 0.8) if rng.random() < 0.06 else 0)
        points.append(points[-1] + step * np.array([np.cos(heading), np.sin(heading)]))
    return np.array(points)


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
