"""Regions from files: mask images, and polygons in a YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw

from extensions.configuration.document import load_config
from extensions.data.errors import DatasetError
from extensions.data.reading.image_files import read_mask
from extensions.data.regions.region import FOREGROUND, Region

POLYGONS = "polygons"
YAML = (".yaml", ".yml")


def read_region(
    roi: str | Path | None, ignore: str | Path | None, *, border: int, folder: Path, size: tuple[int, int]
) -> Region:
    """The region that arguments of a datamodule name.

    Args:
        roi: a mask image (not zero is inside), a YAML with polygons, ``foreground``, or None for all.
        ignore: likewise, of what is left out.
        border: width in px of the rim that is left out: along the border of the image and of the region.
        folder: where relative paths start.
        size: height and width of the images in px.

    Raises:
        DatasetError: a file cannot be read, is of another size, or nothing is left.
        FileNotFoundError: no such file.
    """
    inside = np.ones(size, bool)
    is_fixed = bool(border)
    for given, keeps in ((roi, True), (ignore, False)):
        if given is not None and str(given) != FOREGROUND:
            marked = read_area(folder / given, size=size)
            inside &= marked if keeps else ~marked
            is_fixed = True
    foreground = str(roi) == FOREGROUND
    if border and not foreground:
        inside = without_border(inside, border)
    if not inside.any():
        named = " and ".join(str(name) for name in (roi, ignore) if name is not None) or "the whole image"
        rim = f" less a border of {border} px" if border else ""
        msg = f"region of interest: {named}{rim} leaves no pixel of {size[1]} x {size[0]} px; leave more of it"
        raise DatasetError(msg)
    if foreground:
        return Region(None if ignore is None else inside, foreground=True, border=border)
    return Region(inside if is_fixed else None)


def read_area(path: Path, *, size: tuple[int, int]) -> np.ndarray:
    """What a file marks, (H, W) bool.

    Args:
        path: a mask image, or a YAML ``polygons: [[[x, y], [x, y], [x, y], …], …]`` in px of the image, x to the right
            and y down from its upper left corner.
        size: height and width of the images in px.

    Raises:
        DatasetError: it cannot be read, is of another size, or marks nothing.
        FileNotFoundError: no such file.
    """
    if path.suffix.lower() in YAML:
        marked = draw_polygons(_polygons(path), size=size, path=path)
    else:
        if path.is_dir():
            msg = f"{path}: this is a folder; roi and ignore take a mask image, or a .yaml with polygons"
            raise DatasetError(msg)
        try:
            marked = read_mask(path) > 0
        except ValueError as error:
            msg = f"{error}; roi and ignore take a mask image, a .yaml with polygons, or (roi only) {FOREGROUND}"
            raise DatasetError(msg) from error
        except FileNotFoundError as error:
            msg = f"{path}: there is no such file; roi and ignore take a mask image, a .yaml with polygons, or (roi "
            msg += f"only) {FOREGROUND}"
            raise FileNotFoundError(msg) from error
        if marked.shape != size:
            msg = (
                f"{path}: the mask has {marked.shape[1]} x {marked.shape[0]} px, but the images have {size[1]} x "
                f"{size[0]}; draw it on one of them"
            )
            raise DatasetError(msg)
    if not marked.any():
        msg = f"{path}: this marks no pixel; expected an area that is not 0"
        raise DatasetError(msg)
    return marked


def draw_polygons(polygons: list[np.ndarray], *, size: tuple[int, int], path: Path) -> np.ndarray:
    """(H, W) bool, true in any of the polygons, each (n, 2) of x and y in px.

    Raises:
        DatasetError: a corner lies outside of the image; the file is named.
    """
    canvas = Image.new("1", (size[1], size[0]))
    for number, corners in enumerate(polygons, start=1):
        outside = (corners < 0) | (corners > np.array([size[1], size[0]]))
        if outside.any():
            x, y = corners[outside.any(axis=1)][0]
            msg = (
                f"{path}: polygon {number} has the corner [{x:g}, {y:g}], outside of the images of {size[1]} x "
                f"{size[0]} px; give x and y in px of the image"
            )
            raise DatasetError(msg)
        ImageDraw.Draw(canvas).polygon([tuple(corner) for corner in corners.tolist()], fill=1)
    return np.asarray(canvas, dtype=bool)


def without_border(inside: np.ndarray, border: int) -> np.ndarray:
    """A mask (H, W) less a rim of so many px, also along the border of the image."""
    kernel = np.ones((2 * border + 1, 2 * border + 1), np.uint8)
    eroded = cv2.erode(np.pad(inside.astype(np.uint8), border), kernel)
    return eroded[border:-border, border:-border] > 0


def _polygons(path: Path) -> list[np.ndarray]:
    if not path.is_file():
        msg = f"{path}: there is no such file; expected a YAML with {POLYGONS}: [[[x, y], …], …]"
        raise FileNotFoundError(msg)
    found = load_config(path)
    listed = found.get(POLYGONS)
    if not isinstance(listed, list) or not listed or set(found) != {POLYGONS}:
        keys = f"no polygon in {POLYGONS}" if listed == [] else ", ".join(map(str, found)) or "nothing"
        msg = f"{path}: found {keys}; expected {POLYGONS}: [[[x, y], [x, y], [x, y], …], …] and nothing else"
        raise DatasetError(msg)
    return [_corners(one, number, path) for number, one in enumerate(listed, start=1)]


def _corners(given: Any, number: int, path: Path) -> np.ndarray:
    try:
        corners = np.array(given, dtype=float)
    except (TypeError, ValueError):
        corners = np.zeros(0)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3 or not np.isfinite(corners).all():
        msg = f"{path}: polygon {number} is {str(given)[:60]}; expected at least 3 corners [x, y] in px"
        raise DatasetError(msg)
    return corners
