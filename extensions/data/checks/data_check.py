"""Checks a data set before any training: all problems at once, with the names of the files."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from extensions.data.checks.copies import contents_of, near_copies
from extensions.data.checks.folder_names import is_good_folder
from extensions.data.checks.inspection import FileFacts, inspect_files
from extensions.data.checks.mask_checks import mask_problems
from extensions.data.checks.masks_beside import masks_beside
from extensions.data.checks.remarks import remarks
from extensions.data.errors import Kind, Problem, dataset_error, describe, warn_once
from extensions.data.reading.files import relative_name
from extensions.runtime.built_folders import is_built
from extensions.runtime.escaped import escaped, is_utf8

if TYPE_CHECKING:
    from anomalib.data.datamodules.base.image import AnomalibDataModule

logger = logging.getLogger(__name__)

MOST_DRAWN = 0.9  # share of images of a few values from which on they are taken for the data set's own


def check_dataset(datamodule: AnomalibDataModule) -> None:
    """Open every file of any anomalib datamodule and raise when the data set would falsify or stop a run.

    Our datamodules do this in ``setup``. Checked are: files that cannot be decoded, masks of another size than their
    image as displayed, masks on normal images, masks that are inverted or have no background of 0, photographs for
    masks, masks that count as images, the same image (by its pixels) in training and test or under both labels,
    folders that are empty or nearly named as expected, masks without images and images without masks. Logged as
    warnings only, since results stay right or most likely do: masks that mark nothing or most of an image, masks with
    grey values, the same image twice in one split, nearly the same one in two, files left out because of their
    ending, 16-bit images of 12 bits or fewer, files of several pages. A file is read once a process as long as its size
    and time of change stay.

    Raises:
        DatasetError: lists all problems together, the first 20 files of each kind by name.
    """
    if not hasattr(datamodule, "train_data"):
        datamodule.setup()
    samples = all_samples(datamodule)
    root = root_of(datamodule, samples)
    raise_problems(samples, _misplaced(samples, root), name=datamodule.name, root=root)
    tell_near_copies(samples, name=datamodule.name, root=root)


def raise_problems(
    samples: pd.DataFrame, listed: Sequence[Problem], *, name: str, root: Path, reads_plainly: bool = True
) -> None:
    """Add what the files hold to the problems already ``listed``: raise the errors, log the warnings once."""
    problems = [*listed, *find_problems(samples, name=name, root=root, reads_plainly=reads_plainly)]
    errors = [problem for problem in problems if not problem.kind.is_warning]
    if errors:
        raise dataset_error(name, root, errors)
    if problems:
        warn_once(f"data set {name!r} in {escaped(root)}:\n{describe(problems)}")


def find_problems(samples: pd.DataFrame, *, name: str, root: Path, reads_plainly: bool = True) -> list[Problem]:
    """What is wrong with the files of ``samples`` (columns image_path, mask_path, label_index, split).

    Not ``reads_plainly``: what is wrong with the values and channels of images is found by `value_checks`.
    """
    images = inspect_files(samples["image_path"], title=f"checking {name}")
    mask_paths = [path for path in samples["mask_path"] if path]
    masks = inspect_files(mask_paths, masks=True, title=f"checking masks of {name}")
    problems = [
        Problem(Kind.UNREADABLE, relative_name(path, root), fact.error)
        for path, fact in (*(images.items() if reads_plainly else ()), *masks.items())
        if fact.error
    ]
    problems += bad_names([*images, *masks], root=root)
    if reads_plainly:
        problems += remarks({relative_name(path, root): fact.stored for path, fact in images.items()})
        problems += [
            Problem(Kind.MANY_CHANNELS, relative_name(path, root), f"{fact.stored.channels} channels")
            for path, fact in images.items()
            if fact.stored.channels
        ]
    drawn = [path for path, fact in images.items() if fact.is_drawn]
    if len(drawn) < MOST_DRAWN * len(images):  # else the images of this data set are like that
        problems += [Problem(Kind.DRAWN, relative_name(path, root)) for path in drawn]
    problems += mask_problems(samples, images, masks, root=root)
    return problems + repeated(samples, images, root=root)


def bad_names(paths: Iterable[str | Path], *, root: Path) -> list[Problem]:
    """The files whose names, relative to ``root``, no record or table can hold."""
    names = (relative_name(path, root) for path in paths)
    return [Problem(Kind.NAME_NOT_UTF8, name) for name in names if not is_utf8(name)]


def tell_near_copies(samples: pd.DataFrame, *, name: str, root: Path) -> None:
    """Log images of one split, or with one label, that are nearly the same as some of another; once."""
    samples = samples[~samples["image_path"].map(is_built).astype(bool)]
    if "injected" in samples:  # such a defect passes for normal, but whoever looks at copies should know better
        samples = samples.assign(label_index=samples["label_index"].astype(bool) | samples["injected"].fillna(False))
    images = inspect_files(samples["image_path"], title=f"reading {name}")
    if problems := near_copies(samples, images, root=root):
        warn_once(f"data set {name!r} in {escaped(root)}:\n{describe(problems)}")


def all_samples(datamodule: AnomalibDataModule) -> pd.DataFrame:
    """The images of all splits; validation only where its images are not those of the test set."""
    splits = ("train", "test", "val", "calibration")
    parts = {split: getattr(datamodule, f"{split}_data", None) for split in splits}
    frames = {split: data.samples.assign(split=split) for split, data in parts.items() if data is not None}
    if "val" in frames and "test" in frames:
        in_test = set(frames["test"]["image_path"])
        frames["val"] = frames["val"][~frames["val"]["image_path"].isin(in_test)]
    samples = pd.concat(list(frames.values()), ignore_index=True)
    if "mask_path" not in samples:
        samples["mask_path"] = ""
    samples["mask_path"] = samples["mask_path"].fillna("").astype(str)
    return samples


def _misplaced(samples: pd.DataFrame, root: Path) -> list[Problem]:
    """Masks among the images, and good images among the anomalous ones, by their names; for ours known already."""
    masks = masks_beside(Path(path) for path in samples["image_path"] if not is_built(path))
    anomalous = {Path(path).parent for path in samples["image_path"][samples["label_index"] == 1]}
    problems = [Problem(Kind.MASK_BESIDE, relative_name(path, root)) for path in masks]
    return problems + [
        Problem(Kind.GOOD_FOLDER, relative_name(path, root)) for path in anomalous if is_good_folder(path.name)
    ]


def root_of(datamodule: AnomalibDataModule, samples: pd.DataFrame) -> Path:
    """The datamodule's root, else the folder that holds all of its images."""
    root = getattr(datamodule, "root", None)
    return Path(root) if root else Path(os.path.commonpath([Path(path).parent for path in samples["image_path"]]))


def repeated(samples: pd.DataFrame, facts: dict[str, FileFacts], *, root: Path) -> list[Problem]:
    """Images of equal pixels, in whatever format, that stand in the table more than once."""
    rows_of: dict[str, list[tuple[str, int, str]]] = defaultdict(list)
    contents = contents_of(samples["image_path"], facts)
    columns = (samples[name] for name in ("image_path", "label_index", "split"))
    for content, path, label, split in zip(contents, *columns, strict=True):
        if not facts[path].error:
            rows_of[content].append((path, int(label), split))
    problems = []
    for rows in rows_of.values():
        if len(rows) == 1:
            continue
        if len({split == "calibration" for _, _, split in rows}) > 1:
            kind = Kind.IN_CALIBRATION
        elif len({split == "train" for _, _, split in rows}) > 1:
            kind = Kind.IN_TRAIN_AND_TEST
        elif len({label for _, label, _ in rows}) > 1:
            kind = Kind.TWO_LABELS
        else:
            kind = Kind.SAME_TWICE
        names = sorted({relative_name(path, root) for path, _, _ in rows})
        problems.append(
            Problem(kind, " = ".join(names) if len(names) > 1 else f"{names[0]} (listed {len(rows)} times)")
        )
    return problems
