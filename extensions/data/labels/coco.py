"""Reads label files of COCO: images, annotations and categories in one JSON file."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from extensions.data.errors import Kind, Problem
from extensions.data.labels.labeled_image import LabeledImage, Labels, Shape
from extensions.data.labels.regions import Fault, Misfit, Region, Size, is_number, points_misfit, read_size
from extensions.data.labels.run_length import read_run_length
from extensions.data.reading.files import absolute

KEYS = ("images", "annotations", "categories")


@dataclass(frozen=True)
class Polygons:
    """The polygons of one annotation, as pycocotools draws them; together they are one instance.

    Attributes:
        points: For each polygon (N, 2) x and y px; 0 is the left or upper border of the first pixel.
    """

    points: tuple[np.ndarray, ...]

    def misfit(self, size: Size) -> Misfit | None:
        """See `points_misfit`, of the first polygon that has one."""
        return next((found for one in self.points if (found := points_misfit(one, size))), None)

    def draw(self, size: Size) -> np.ndarray:
        """(height, width) bool."""
        from pycocotools import mask

        width, height = size
        flat = [np.clip(one, 0, size).ravel().tolist() for one in self.points]
        return np.asarray(mask.decode(mask.merge(mask.frPyObjects(flat, height, width))), bool)


def is_coco(document: Any) -> bool:
    """Whether a document has the keys of COCO."""
    return isinstance(document, dict) and all(isinstance(document.get(key), list) for key in KEYS)


def read_coco(document: dict[str, Any], file: Path, *, where: str) -> Labels:
    """Read a label file (COCO, https://cocodataset.org/#format-data): polygons and run-length codes of both kinds.

    Args:
        document: With `images`, `annotations` and `categories`.
        file: That it was read from; a `file_name` may start at its folder.
        where: Its name, for messages.
    """
    labels = Labels()
    names = _by_id(document["categories"], "name", f"{where} categories", labels.problems)
    images = _by_id(document["images"], "file_name", f"{where} images", labels.problems)
    labels.known = {entry["name"] for entry in names.values()}
    shapes: dict[Any, list[Shape]] = defaultdict(list)
    for index, annotation in enumerate(document["annotations"]):
        place = f"{where} annotations[{index}]"
        if not isinstance(annotation, dict):
            labels.problems.append(Problem(Kind.BAD_LABEL, place, "expected image_id, category_id and segmentation"))
            continue
        image, category = annotation.get("image_id"), annotation.get("category_id")
        if not _is_id(image) or image not in images:
            labels.problems.append(Problem(Kind.NO_IMAGE, place, f"image_id {image!r} is not among its images"))
        elif not _is_id(category) or category not in names:
            labels.problems.append(Problem(Kind.BAD_LABEL, place, f"category_id {category!r} is not in categories"))
        else:
            region = _region(annotation.get("segmentation"))
            shapes[image].append(Shape(names[category]["name"], place, region))
    for key, entry in images.items():
        size = read_size(entry.get("width"), entry.get("height"))
        name = entry["file_name"].replace("\\", "/")
        path = absolute(name, base=file.parent)
        labels.images.append(LabeledImage(where, (name,), size, tuple(shapes[key]), path))
    return labels


def _by_id(entries: list[Any], name: str, where: str, problems: list[Problem]) -> dict[Any, dict[str, Any]]:
    """Entries by their `id`, each with a text `name`; the others are problems."""
    found: dict[Any, dict[str, Any]] = {}
    for index, entry in enumerate(entries):
        key = entry.get("id") if isinstance(entry, dict) else None
        if not _is_id(key) or not isinstance(entry.get(name), str) or not entry[name]:
            problems.append(Problem(Kind.BAD_LABEL, f"{where}[{index}]", f"expected id and {name}"))
        elif key in found:
            problems.append(Problem(Kind.BAD_LABEL, f"{where}[{index}]", f"id {key!r} is there twice"))
        else:
            found[key] = entry
    return found


def _region(segmentation: Any) -> Region:
    """What an annotation marks, or its fault."""
    if not segmentation:
        return Fault(Kind.NO_AREA, "no segmentation, a box at most")
    if isinstance(segmentation, dict):
        try:
            return read_run_length(segmentation)
        except ValueError as error:
            return Fault(Kind.BAD_RUNS, str(error))
    if not isinstance(segmentation, list) or not all(isinstance(one, list) for one in segmentation):
        return Fault(Kind.BAD_LABEL, "segmentation is neither a list of polygons nor a run-length code")
    if not all(is_number(number) for one in segmentation for number in one):
        return Fault(Kind.BAD_LABEL, "a polygon is not [x, y, x, y, ...] in finite numbers")
    if odd := next((one for one in segmentation if len(one) % 2), None):
        return Fault(Kind.BAD_LABEL, f"a polygon has {len(odd)} numbers, expected pairs of x and y")
    return Polygons(tuple(np.array(one, float).reshape(-1, 2) for one in segmentation))  # (N, 2) each


def _is_id(key: object) -> bool:
    return isinstance(key, int | str)
