"""A folder in which several masks belong to one image: ``7_mask_0.png`` and ``7_1.png``, or ``7/0.png``."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from extensions.data.checks.inspection import inspect_files
from extensions.data.checks.mask_checks import mask_problems
from extensions.data.checks.mask_pairing import Candidate, base_name, normal_name, pair_masks
from extensions.data.errors import Kind, Problem, describe, warn_once
from extensions.data.labels.labeled_image import LabeledImage, Labels, Shape
from extensions.data.labels.mask_target import MaskTarget
from extensions.data.labels.regions import MaskFile
from extensions.data.reading.files import list_images, relative_name

_NUMBER = re.compile(r"([ _.\-]\d+|[ _.\-]?\(\d+\))$")


def read_instance_files(folder: Path, target: MaskTarget) -> Labels:
    """Read masks, and give each image all of those whose names without their numbers fit it, see `pair_masks`.

    A folder that has an image's name holds its masks, whatever they are called, as in MVTec LOCO.

    Args:
        folder: Of masks, no image among them; subfolders are those of the images.
        target: The images.

    Raises:
        ValueError: An image of the data set lies in the folder.
    """
    files = list_images(folder)
    images = [*target.anomalous, *target.normal]
    if among := sorted(set(files) & set(images)):
        msg = (
            f"{folder}: among the masks lies {among[0].name}, an image of the data set; put the masks into a folder of "
            "their own"
        )
        raise ValueError(msg)
    stems = {normal_name(image.stem) for image in images}
    groups: dict[Path, list[Path]] = defaultdict(list)
    for path in files:
        groups[_group(path, folder, stems)].append(path)
    labels = Labels()
    paired = _pair(groups, folder, target, labels.problems)
    rows = [(str(image), str(path), label) for image, (found, label) in paired.items() for path in found]
    samples = pd.DataFrame(rows, columns=["image_path", "mask_path", "label_index"])
    _check(samples, target, labels.problems)
    for image, (found, _) in paired.items():
        shapes = tuple(Shape("", target.named(path), MaskFile(path)) for path in found)
        labels.images.append(LabeledImage(target.named(found[0].parent), (image.name,), None, shapes, image))
    return labels


def _group(path: Path, folder: Path, stems: Collection[str]) -> Path:
    """The one mask that a file is a part of, by the name that `pair_masks` would take for its image's."""
    if path.parent != folder and normal_name(path.parent.name) in stems:
        return path.parent.with_name(f"{path.parent.name}.png")
    name = path.stem
    while True:
        bare = base_name(name) or normal_name(name)
        if bare in stems:
            return path.with_name(f"{bare}.png")
        shorter = _NUMBER.sub("", bare)
        if shorter in {bare, ""}:
            return path
        name = shorter


def _pair(
    groups: dict[Path, list[Path]], folder: Path, target: MaskTarget, problems: list[Problem]
) -> dict[Path, tuple[list[Path], int]]:
    """For each image that has masks all of them and its label; anomalous images come first."""
    paired: dict[Path, tuple[list[Path], int]] = {}
    left, strays = dict(groups), {relative_name(group, target.root) for group in groups}
    for label, images in ((1, target.anomalous), (0, target.normal)):
        top = target.top if label else target.root
        pairing = pair_masks(
            [Candidate(image, top) for image in images], [Candidate(path, folder) for path in left], root=target.root
        )
        problems += [problem for problem in pairing.problems if problem.kind == Kind.AMBIGUOUS_MASK]
        paired |= {image: (left.pop(mask), label) for image, mask in pairing.masks.items()}
        strays &= {problem.file for problem in pairing.problems if problem.kind == Kind.EXTRA_MASK}
    extra = [path for group, found in left.items() if relative_name(group, target.root) in strays for path in found]
    problems += [Problem(Kind.EXTRA_MASK, target.named(path)) for path in extra]
    return paired


def _check(samples: pd.DataFrame, target: MaskTarget, problems: list[Problem]) -> None:
    """Add what is wrong with the masks; log what stops nobody."""
    images = inspect_files(samples["image_path"], title="reading images")
    masks = inspect_files(samples["mask_path"], masks=True, title="reading masks")
    problems += [Problem(Kind.UNREADABLE, target.named(Path(p)), fact.error) for p, fact in masks.items() if fact.error]
    found = mask_problems(samples, images, masks, root=target.root)
    problems += [problem for problem in found if not problem.kind.is_warning]
    told = [problem for problem in found if problem.kind.is_warning and problem.kind != Kind.BLACK_MASK]
    if told:
        warn_once(f"masks of data set {target.name!r}:\n{describe(told)}")
