"""A region of interest against the images of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from extensions.data.checks.inspection import inspect_files
from extensions.data.datamodules.region_files import read_region
from extensions.data.errors import DatasetError, Kind, Problem, describe, warn_once
from extensions.data.reading.files import relative_name
from extensions.data.reading.image_files import read_mask
from extensions.data.regions.region import FOREGROUND, Region
from extensions.data.tiling.settings import Tiling
from extensions.runtime.escaped import escaped


def region_of(
    samples: pd.DataFrame,
    *,
    roi: str | Path | None,
    ignore: str | Path | None,
    border: int,
    folder: Path,
    name: str,
    root: Path,
) -> Region:
    """The region that the arguments of a datamodule name, see `read_region`; defects that it leaves out are logged.

    Args:
        samples: image_path, mask_path and label_index of all images of the data set, readable.
        roi: see `read_region`.
        ignore: likewise.
        border: likewise.
        folder: where relative paths start.
        name: the data set's.
        root: the folder that names of images are relative to.

    Raises:
        DatasetError: images of several sizes where a mask or polygons hold for all, or as `read_region`.
        FileNotFoundError: as `read_region`.
    """
    if str(roi) == FOREGROUND and ignore is None:
        return Region(None, foreground=True, border=border)
    if str(ignore) == FOREGROUND:
        msg = f"data set {name!r}: ignore is {FOREGROUND}; expected a mask image or a .yaml with polygons"
        raise DatasetError(msg)
    facts = inspect_files(samples["image_path"], title=f"reading {name}")
    sizes = {fact.size: path for path, fact in reversed(facts.items())}
    if len(sizes) > 1:
        (first, a), (other, b) = sorted(sizes.items(), key=lambda item: item[1])[:2]
        assert first is not None
        assert other is not None
        msg = (
            f"data set {name!r}: roi, ignore and border hold for images of one size, but {relative_name(a, root)} has "
            f"{first[0]} x {first[1]} px and {relative_name(b, root)} {other[0]} x {other[1]}; bring them to one size, "
            f"or use roi: {FOREGROUND}"
        )
        raise DatasetError(msg)
    width, height = next(iter(sizes)) or (0, 0)
    region = read_region(roi, ignore, border=border, folder=folder, size=(height, width))
    if problems := _left_out(samples, region, root):
        warn_once(f"data set {name!r} in {escaped(root)}:\n{describe(problems)}")
    return region


def _left_out(samples: pd.DataFrame, region: Region, root: Path) -> list[Problem]:
    """Images whose marked defects lie outside of a region as a whole."""
    if region.mask is None:
        return []
    marked = samples[(samples["label_index"] == 1) & (samples["mask_path"] != "")]
    return [
        Problem(Kind.OUTSIDE_REGION, relative_name(image, root))
        for image, mask in zip(marked["image_path"], marked["mask_path"], strict=True)
        if (defect := read_mask(mask) > 0).any() and not (defect & region.mask).any()
    ]


def check_roi(roi: str | Path | None, tiling: Tiling | None, *, name: str) -> None:
    """Refuse a region that can be told to be wrong before any image is looked at.

    Raises:
        ValueError: The foreground misspelt, or asked for in tiles.
    """
    if str(roi) != FOREGROUND and str(roi).lower() == FOREGROUND:
        msg = f"data set {name!r}: roi is {str(roi)!r}; did you mean {FOREGROUND}?"
        raise ValueError(msg)
    if tiling is not None and str(roi) == FOREGROUND:
        msg = (
            f"data set {name!r} has tiling and roi: {FOREGROUND}, which is found in whole images; give a mask image or "
            "polygons, or leave tiling out"
        )
        raise ValueError(msg)


def common_region(regions: Mapping[str, Region | None], *, name: str) -> Region | None:
    """The region of interest of all parts of a joined data set, by the names of their products.

    Raises:
        DatasetError: They differ.
    """
    found = set(regions.values())
    if len(found) > 1:
        msg = (
            f"the products {', '.join(regions)} of data set {name!r} are looked at in different ways (roi, ignore, "
            "border); expected the same for all that train together: give them the same, or set training to one_each"
        )
        raise DatasetError(msg)
    return next(iter(found), None)
