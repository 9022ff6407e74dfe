"""Labelled images for a probe: folders of classes, or torchvision's CIFAR-10 and STL-10 if they are on the disk."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from extensions.data.checks.copies import contents_of
from extensions.data.checks.left_out import left_out, tell
from extensions.data.checks.remarks import tell_remarks
from extensions.data.errors import DatasetError, DatasetMissingError, Kind, Problem, dataset_error
from extensions.data.reading.files import from_data_root, list_images, relative_name
from extensions.data.reading.image_files import read_image

logger = logging.getLogger(__name__)

SPLITS = ("train", "test", "validation")
LAYOUT = "train/<class>/<image>, test/<class>/<image> and, if you like, validation/<class>/<image>"


@dataclass(frozen=True)
class LabelledImages:
    """One split.

    Attributes:
        name: train, test or validation.
        labels: (N,) int, places in the data set's `classes`.
        read: Image of an index as (H, W, 3) uint8 RGB.
    """

    name: str
    labels: np.ndarray
    read: Callable[[int], np.ndarray]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ProbeData:
    """Labelled images in splits.

    Attributes:
        name: Of the data set.
        classes: Their names, sorted as training has them.
        splits: Images by `train`, `test` and, where there are some, `validation`.
        sha256: Over names, content and classes of all images.
    """

    name: str
    classes: tuple[str, ...]
    splits: dict[str, LabelledImages]
    sha256: str


def read_probe_data(
    root: str | Path, *, layout: str = "folders", name: str | None = None, data_root: Path | None = None
) -> ProbeData:
    """Find a data set on the disk and check it; nothing is ever downloaded.

    Args:
        root: Its folder.
        layout: `folders` (a folder of images for each class in `train`, `test` and perhaps `validation`),
            `cifar10` (the folder holds torchvision's `cifar-10-batches-py`) or `stl10` (`stl10_binary`).
        name: In tables; None for the folder's.
        data_root: Where a relative root starts; None for `$WORKBENCH_DATA`, else the working directory.

    Raises:
        DatasetMissingError: The data set is not there.
        DatasetError: Fewer than two classes, a class without training images, a class in test or validation that is
            not in training, no test images, or files that cannot be read; the message names them.
        ValueError: An unknown layout.
    """
    folder = from_data_root(root, data_root)
    if layout not in LAYOUTS:
        msg = f"data.layout is {layout!r}; expected one of {', '.join(LAYOUTS)}"
        raise ValueError(msg)
    return LAYOUTS[layout](folder, name or folder.name)


def read_folders(folder: Path, name: str) -> ProbeData:
    """Labelled images in a folder for each class; see `read_probe_data`."""
    found = {split: _classes(folder / split) for split in SPLITS if (folder / split).is_dir()}
    if missing := [split for split in ("train", "test") if split not in found]:
        msg = (
            f"data set {name!r}: there is no folder {folder / missing[0]}; expected {LAYOUT} there; correct data.root "
        )
        raise DatasetMissingError(msg + "in the config, --data-root or $WORKBENCH_DATA")
    classes = tuple(found["train"])
    _check_classes(found, name, folder)
    rows = {
        split: [(path, classes.index(kind)) for kind, paths in kinds.items() for path in paths]
        for split, kinds in found.items()
    }
    facts = tell_remarks((path for part in rows.values() for path, _ in part), title=f"checking {name}")
    if broken := [
        Problem(Kind.UNREADABLE, relative_name(path, folder), fact.error) for path, fact in facts.items() if fact.error
    ]:
        raise dataset_error(name, folder, broken)
    digest = hashlib.sha256()
    for part in rows.values():
        for path, _ in part:
            line = f"{relative_name(path, folder)}\0{facts[str(path)].sha256}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))  # a name need not be UTF-8
    content_of = dict(zip(facts, contents_of(facts, facts), strict=True))
    contents = {split: [(str(path), content_of[str(path)]) for path, _ in part] for split, part in rows.items()}
    learned = {sha256 for split, part in contents.items() if split != "test" for _, sha256 in part}
    if repeated := [path for path, sha256 in contents["test"] if sha256 in learned]:
        logger.warning("%s: %d test images are also in training, such as %s", name, len(repeated), repeated[0])
    for split in found:
        tell(folder / split, left_out(folder / split, folder))
    splits = {split: _images(split, part) for split, part in rows.items() if part}
    return ProbeData(name, classes, splits, digest.hexdigest())


def read_cifar10(folder: Path, name: str) -> ProbeData:
    """CIFAR-10 by torchvision (Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html)."""
    from torchvision.datasets import CIFAR10

    # torchvision unpickles these files, but only after their md5 was found to be the published one.
    parts = {split: _from_torchvision(CIFAR10, folder, name, train=split == "train") for split in ("train", "test")}
    return _arrays(name, {split: (part.data, part.targets, part.classes) for split, part in parts.items()})


def read_stl10(folder: Path, name: str) -> ProbeData:
    """STL-10 by torchvision (Coates, Ng, Lee 2011, https://cs.stanford.edu/~acoates/stl10)."""
    from torchvision.datasets import STL10

    parts = {split: _from_torchvision(STL10, folder, name, split=split) for split in ("train", "test")}
    return _arrays(
        name, {split: (part.data.transpose(0, 2, 3, 1), part.labels, part.classes) for split, part in parts.items()}
    )


LAYOUTS: dict[str, Callable[[Path, str], ProbeData]] = {
    "folders": read_folders,
    "cifar10": read_cifar10,
    "stl10": read_stl10,
}


def _classes(folder: Path) -> dict[str, list[Path]]:
    """Labelled images of each class of a split, sorted."""
    kinds = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return {kind.name: list_images(kind) for kind in kinds}


def _check_classes(found: dict[str, dict[str, list[Path]]], name: str, folder: Path) -> None:
    """Refuse classes that a probe cannot learn or cannot know."""
    train, start = found["train"], f"data set {name!r} in {folder}"
    if len(train) < 2:
        shown = f"the one class {next(iter(train))!r}" if train else "no class"
        msg = f"{start}: train has {shown}; expected a folder of images for each of two or more classes ({LAYOUT})"
        raise DatasetError(msg)
    if empty := [kind for kind, paths in train.items() if not paths]:
        n_images = sum(map(len, train.values()))
        msg = f"{start}: train has {n_images} images in {len(train)} classes, and none of {', '.join(empty)}; put "
        raise DatasetError(msg + "images into each class's folder, or delete the folder")
    for split, kinds in found.items():
        if unknown := [kind for kind, paths in kinds.items() if paths and kind not in train]:
            msg = f"{start}: {split} has {', '.join(unknown)}, which is no class of train ({', '.join(train)}); rename "
            raise DatasetError(msg + "the folder, or give training images of it")
    if not any(found["test"].values()):
        msg = f"{start}: test has no images; expected {LAYOUT}"
        raise DatasetError(msg)


def _images(split: str, rows: list[tuple[Path, int]]) -> LabelledImages:
    return LabelledImages(split, np.array([label for _, label in rows]), lambda index: read_image(rows[index][0]))


def _from_torchvision(dataset: Any, folder: Path, name: str, **which: Any) -> Any:
    """A data set of torchvision's that is on the disk and complete."""
    try:
        return dataset(folder, download=False, **which)
    except (RuntimeError, OSError, ValueError) as error:
        reason = str(error).partition(". ")[0]
        msg = f"data set {name!r}: torchvision's {dataset.__name__} is not whole in {folder} ({reason}); expected the "
        msg += f"files of {dataset.url} unpacked in {folder / dataset.base_folder}: nothing is downloaded here"
        raise DatasetMissingError(msg) from error


def _arrays(name: str, parts: dict[str, tuple[np.ndarray, Any, Any]]) -> ProbeData:
    """Splits that are arrays: images (N, H, W, 3) uint8, labels and the names of the classes."""
    digest = hashlib.sha256()
    splits = {}
    for split, (pixels, labels, _) in parts.items():
        digest.update(np.ascontiguousarray(pixels).data)
        digest.update(np.asarray(labels, np.int64).tobytes())
        splits[split] = LabelledImages(split, np.asarray(labels, np.int64), pixels.__getitem__)
    return ProbeData(name, tuple(parts["train"][2]), splits, digest.hexdigest())
