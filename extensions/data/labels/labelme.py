"""Reads label files of labelme: one JSON file an image."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from extensions.data.errors import Kind, Problem
from extensions.data.labels.labeled_image import LabeledImage, Labels, Shape
from extensions.data.labels.regions import Circle, Fault, Pixels, Polygon, Region, read_points, read_size
from extensions.data.reading.files import absolute
from extensions.data.reading.image_files import mask_array, open_upright, reason

KEYS = ("shapes", "imagePath")
_NO_AREA = ("point", "points", "line", "linestrip")


def is_labelme(document: Any) -> bool:
    """Whether a document has the keys of labelme."""
    return isinstance(document, dict) and all(key in document for key in KEYS)


def read_labelme(document: dict[str, Any], file: Path, *, where: str, top: Path) -> Labels:
    """Read the labels of one image (labelme, https://github.com/wkentaro/labelme; old files without `shape_type`, too).

    Polygons, rectangles and circles are drawn as labelme draws them; shapes without an area are faults.

    Args:
        document: With `shapes` and `imagePath`, and maybe `imageWidth` and `imageHeight`.
        file: That it was read from; `imagePath` starts at its folder.
        where: Its name, for messages.
        top: The folder that was given; the folders between it and the file are taken for those of the image, too.
    """
    name, size = document["imagePath"], read_size(document.get("imageWidth"), document.get("imageHeight"))
    if not isinstance(name, str) or not name or not isinstance(document["shapes"], list):
        detail = "imagePath is no text" if isinstance(document["shapes"], list) else "shapes is no list"
        return Labels(problems=[Problem(Kind.BAD_LABEL, where, detail)])
    labels, shapes = Labels(), []
    for index, shape in enumerate(document["shapes"]):
        place = f"{where} shapes[{index}]"
        label = shape.get("label") if isinstance(shape, dict) else None
        if not isinstance(label, str | int) or label == "":
            labels.problems.append(Problem(Kind.BAD_LABEL, place, "no label"))
            continue
        group = shape.get("group_id")
        shapes.append(Shape(str(label), place, _region(shape), "" if group is None else f"{label} {group}"))
    labels.known = {shape.label for shape in shapes}
    name = name.replace("\\", "/")  # written under Windows
    inside = file.parent.relative_to(top)
    names = ((inside / name).as_posix(), (inside / name.rsplit("/", 1)[-1]).as_posix())
    path = absolute(name, base=file.parent)
    labels.images.append(LabeledImage(where, names, size, tuple(shapes), path))
    return labels


def _region(shape: dict[str, Any]) -> Region:
    """What a shape marks, or its fault."""
    kind = str(shape.get("shape_type") or "polygon")
    if kind in _NO_AREA:
        return Fault(Kind.NO_AREA, f"a {kind}")
    if kind not in _READERS:
        return Fault(Kind.BAD_LABEL, f"shape_type {kind!r}; known: {', '.join(_READERS)}")
    try:
        return _READERS[kind](read_points(shape.get("points")), shape)
    except ValueError as error:
        return Fault(Kind.BAD_LABEL, str(error))


def _polygon(points: np.ndarray, _: dict[str, Any]) -> Region:
    return Polygon(points)


def _rectangle(points: np.ndarray, _: dict[str, Any]) -> Region:
    """By two opposite corners, or by all four where it is turned."""
    if len(points) != 2:
        return _corners(points, 4, Polygon)
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return Polygon(np.array([[left, top], [right, top], [right, bottom], [left, bottom]]))


def _circle(points: np.ndarray, _: dict[str, Any]) -> Region:
    return _corners(points, 2, Circle)


def _corners(points: np.ndarray, n: int, region: Callable[[np.ndarray], Region]) -> Region:
    if len(points) != n:
        msg = f"{len(points)} points, expected {n}"
        raise ValueError(msg)
    return region(points)


def _mask(points: np.ndarray, shape: dict[str, Any]) -> Region:
    """A PNG in base64 that fills the box between two points, both pixels among it."""
    try:
        marks = mask_array(open_upright(base64.b64decode(str(shape.get("mask") or ""), validate=True)))
    except binascii.Error as error:
        msg = f"its mask is no base64: {error}"
        raise ValueError(msg) from error
    except Exception as error:  # Pillow raises many types for broken files
        msg = f"its mask cannot be read: {reason(error)}"
        raise ValueError(msg) from error
    if len(points) != 2:
        msg = f"{len(points)} points, expected 2"
        raise ValueError(msg)
    (left, top), (right, bottom) = points.astype(int).tolist()
    box = (bottom - top + 1, right - left + 1)
    if marks.shape != box:
        msg = f"its mask is {marks.shape[1]}x{marks.shape[0]}, but its points give {box[1]}x{box[0]}"
        raise ValueError(msg)
    return Pixels(marks.astype(bool), (left, top))


_READERS: dict[str, Callable[[np.ndarray, dict[str, Any]], Region]] = {
    "polygon": _polygon,
    "rectangle": _rectangle,
    "oriented_rectangle": _rectangle,
    "circle": _circle,
    "mask": _mask,
}
