"""Parts whose images are trained on and tested on: they are told, and may be left out of one of the two."""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

import pandas as pd

from extensions.data.errors import DatasetError, Kind, Problem
from extensions.data.groups import GROUP, Shared
from extensions.data.reading.files import relative_name


def checked_shared(value: str, group: str | Path | None) -> Shared:
    """The way, or a ValueError that lists them."""
    ways = get_args(Shared)
    if value not in ways:
        msg = f"shared_groups is {value!r}; expected one of {', '.join(ways)}"
        raise ValueError(msg)
    if value != "keep" and group is None:
        msg = f"shared_groups is {value!r}, but no parts are named; say by `group` which images are of one part"
        raise ValueError(msg)
    return cast("Shared", value)


def shared_parts(samples: pd.DataFrame, *, root: Path) -> list[Problem]:
    """One problem for each part that has images in training and in test, or in calibration and elsewhere.

    Args:
        samples: With the columns image_path, split and, where parts are named, group.
        root: That names are relative to.
    """
    if GROUP not in samples:
        return []
    problems = []
    for part, rows in samples.groupby(GROUP, sort=True):
        by_split = {split: rows.loc[rows["split"] == split, "image_path"] for split in ("train", "test", "calibration")}
        several = {split: paths for split, paths in by_split.items() if len(paths)}
        if len(several) < 2:
            continue
        examples = " and ".join(f"{split} {relative_name(paths.iloc[0], root)}" for split, paths in several.items())
        later = sum(len(paths) for split, paths in several.items() if split != "train")
        problems.append(Problem(Kind.SHARED_PART, str(part), examples, n=later if "train" in several else 1))
    return problems


def without_parts(samples: pd.DataFrame, gone: pd.Index) -> pd.DataFrame:
    """The samples without some test images, and without all other test images of their parts.

    Args:
        samples: Of all splits.
        gone: Index of those images.
    """
    left = samples.drop(index=gone)
    if GROUP not in samples:
        return left
    return left[~((left["split"] == "test") & left[GROUP].isin(samples.loc[gone, GROUP]))]


def without_shared(samples: pd.DataFrame, way: Shared, *, name: str) -> pd.DataFrame:
    """The samples without the training images, or the test images, of parts that have both.

    Raises:
        DatasetError: No image to train on, or none to test on, is left.
    """
    if way == "keep":
        return samples
    split = samples["split"]
    shared = set(samples.loc[split == "train", GROUP]) & set(samples.loc[split == "test", GROUP])
    lesser = "train" if way == "not_trained" else "test"
    left = samples[~((split == lesser) & samples[GROUP].isin(shared))]
    if shared and not (left["split"] == lesser).any():
        what = "training" if lesser == "train" else "test"
        msg = (
            f"data set {name!r}: every {what} image is of a part with images on the other side, so that shared_groups "
            f"{way!r} leaves none; choose the other way, or another `group`"
        )
        raise DatasetError(msg)
    return left
