"""What a label marks in its image: an outline, a circle, some pixels, a file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw

from extensions.data.errors import Kind
from extensions.data.reading.image_files import read_mask

Size = tuple[int, int]  # width, height px, as the image is displayed
Misfit = tuple[Kind, str]  # what is wrong, and the values that show it

MARGIN = 1.0  # px that a point may lie beyond the border, as programs round differently; what is beyond is cut off
MIN_POINTS = 3


class Region(Protocol):
    """Pixels of an image."""

    def misfit(self, size: Size) -> Misfit | None:
        """Why it cannot be drawn in an image of this size; None when it can."""

    def draw(self, size: Size) -> np.ndarray:
        """(height, width) bool, true where it marks."""


@dataclass(frozen=True)
class Fault:
    """In place of a region that could not be read: told only where its label counts."""

    kind: Kind
    detail: str

    def misfit(self, _: Size) -> Misfit:
        """What is wrong with it."""
        return self.kind, self.detail

    def draw(self, _: Size) -> np.ndarray:
        """Never."""
        raise ValueError(self.detail)


@dataclass(frozen=True)
class Polygon:
    """A polygon as labelme draws it: by Pillow, with the pixels its border runs through.

    Attributes:
        points: (N, 2) x and y px; 0 is the middle of the first pixel.
    """

    points: np.ndarray

    def misfit(self, size: Size) -> Misfit | None:
        """Too few points, or one outside of the image."""
        return points_misfit(self.points, size)

    def draw(self, size: Size) -> np.ndarray:
        """See `Region.draw`."""
        image = Image.new("L", size)
        ImageDraw.Draw(image).polygon([(x, y) for x, y in self.points.tolist()], fill=1, outline=1)
        return np.asarray(image, bool)


@dataclass(frozen=True)
class Circle:
    """A circle by its center and a point on it, as labelme draws it; what is beyond the image is cut off."""

    points: np.ndarray

    def misfit(self, size: Size) -> Misfit | None:
        """One of both points lies outside of the image."""
        return outside(self.points, size)

    def draw(self, size: Size) -> np.ndarray:
        """See `Region.draw`."""
        x, y = self.points[0].tolist()
        radius = float(np.hypot(*(self.points[1] - self.points[0])))
        image = Image.new("L", size)
        ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=1, outline=1)
        return np.asarray(image, bool)


@dataclass(frozen=True)
class Pixels:
    """A small mask and the place of its first pixel.

    Attributes:
        marks: (h, w) bool.
        corner: x and y px of its upper left pixel.
    """

    marks: np.ndarray
    corner: tuple[int, int]

    def misfit(self, size: Size) -> Misfit | None:
        """It reaches beyond the image."""
        (x, y), (height, width) = self.corner, self.marks.shape
        return outside(np.array([[x, y], [x + width, y + height]]), size, margin=0)

    def draw(self, size: Size) -> np.ndarray:
        """See `Region.draw`."""
        (x, y), (height, width) = self.corner, self.marks.shape
        drawn = np.zeros(size[::-1], bool)
        drawn[y : y + height, x : x + width] = self.marks
        return drawn


@dataclass(frozen=True)
class MaskFile:
    """A mask of one instance, of the size of its image; what is wrong with it is told by `mask_problems`."""

    path: Path

    def misfit(self, _: Size) -> None:
        """None."""

    def draw(self, _: Size) -> np.ndarray:
        """See `Region.draw`."""
        return read_mask(self.path).astype(bool)


def read_points(value: object) -> np.ndarray:
    """Points ``[[x, y], …]`` of a label file as (N, 2) float.

    Raises:
        ValueError: They are something else.
    """
    is_list = isinstance(value, list) and all(isinstance(one, list) and len(one) == 2 for one in value)
    if not is_list or not all(is_number(number) for one in value for number in one):  # type: ignore[attr-defined]
        msg = "points are not [[x, y], ...] in finite numbers"
        raise ValueError(msg)
    return np.array(value, float).reshape(-1, 2)  # (N, 2)


def is_number(value: object) -> bool:
    """Whether a value of JSON is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def read_size(width: object, height: object) -> Size | None:
    """The size that a label file says an image has; None where it says nothing, or nothing that can be."""
    if isinstance(width, int) and isinstance(height, int):
        return width, height
    return None


def points_misfit(points: np.ndarray, size: Size) -> Misfit | None:
    """Why a polygon of these points, (N, 2), cannot be drawn; None when it can."""
    if len(points) < MIN_POINTS:
        return Kind.FEW_POINTS, f"{len(points)} points"
    return outside(points, size)


def outside(points: np.ndarray, size: Size, *, margin: float = MARGIN) -> Misfit | None:
    """Whether a point, (N, 2), lies farther than `margin` px beyond the image."""
    low, high = points.min(axis=0), points.max(axis=0)
    if (low >= -margin).all() and (high <= np.array(size) + margin).all():
        return None
    spans = [f"{name} from {a:g} to {b:g}" for name, a, b in zip("xy", low, high, strict=True)]
    return Kind.OUTSIDE_IMAGE, f"{' and '.join(spans)} in an image of {size[0]}x{size[1]}"
