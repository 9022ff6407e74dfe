"""Draws the masks of a data set from its labels: one for each anomalous image that has a shape."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from extensions.configuration.errors import did_you_mean
from extensions.data.checks.inspection import FileFacts, inspect_files
from extensions.data.checks.mask_pairing import normal_name
from extensions.data.errors import Kind, Problem, dataset_error
from extensions.data.labels.drawn import Drawn
from extensions.data.labels.image_names import ImageNames, tells_by_folder
from extensions.data.labels.labeled_image import LabeledImage, Labels, Shape
from extensions.data.labels.mask_target import MaskTarget
from extensions.data.labels.regions import Size
from extensions.runtime.progress import progress_bar

_MAX_NEAR = 3  # names that a message lists
_MOST_COMPARED = 2000  # names, for time: a millisecond takes some fifty


def draw_masks(labels: Labels, target: MaskTarget, *, chosen: Collection[str] | None = None) -> Drawn:
    """Draw for each anomalous image the union of its shapes; nothing is written.

    Args:
        labels: As read, with their problems.
        target: The data set.
        chosen: Labels that count as defects; None for all.

    Raises:
        DatasetError: All problems of the labels together.
        ValueError: A chosen label is in no label file.
    """
    for name in chosen or ():
        if name not in labels.known and not labels.problems:  # else it may be in a file that could not be read
            msg = f"--labels: found {name!r}, which no label has{did_you_mean(name, labels.known, list_all=True)}"
            raise ValueError(msg)
    drawn, problems = Drawn(), list(labels.problems)
    entries = _located(labels.images, target, chosen, drawn, problems)
    facts = inspect_files([image for image, found in entries.items() if found], title="reading images")
    anomalous = set(target.anomalous)
    problems += _shared_names(target)
    for image, found in progress_bar(entries.items(), total=len(entries), title="drawing masks", unit="image"):
        shapes = _chosen(image, found, chosen, drawn)
        wrong = _problems(image, found, shapes, facts[str(image)], target)
        if shapes and image not in anomalous and not any(shape.label == "" for shape in shapes):
            wrong.append(
                Problem(Kind.MASK_ON_NORMAL, target.named(image), f"{len(shapes)} labeled in {found[0].where}")
            )
        problems += wrong
        size = facts[str(image)].size
        if shapes and not problems and size is not None and image in anomalous:
            _draw(image, shapes, size, target, drawn)
    if problems:
        raise dataset_error(target.name, target.root, problems)
    drawn.without = [image for image in target.anomalous if target.mask_name(image) not in drawn.masks]
    return drawn


def _located(
    images: Sequence[LabeledImage],
    target: MaskTarget,
    chosen: Collection[str] | None,
    drawn: Drawn,
    problems: list[Problem],
) -> dict[Path, list[LabeledImage]]:
    """The entries of each image of the data set."""
    paths = [*target.anomalous, *target.normal, *target.others]
    names, by_file_name = ImageNames(paths, target.root), not tells_by_folder(images)
    anomalous, others = set(target.anomalous), set(target.others)
    entries: dict[Path, list[LabeledImage]] = defaultdict(list)
    for entry in images:
        fitting = names.find(entry, by_file_name=by_file_name)
        if len(fitting) > 1:  # 000.png is there both good and bad
            fitting = [image for image in fitting if image in anomalous] or fitting
        if len(fitting) > 1:
            known = " and ".join(sorted(map(target.named, fitting))[:_MAX_NEAR])
            problems.append(Problem(Kind.UNCLEAR_IMAGE, f"{entry.names[0]} in {entry.where}", f"fits {known}"))
        elif fitting and fitting[0] in others:
            drawn.elsewhere.add(fitting[0])
        elif fitting:
            entries[fitting[0]].append(entry)
        elif any(chosen is None or shape.label in chosen for shape in entry.shapes):
            problems.append(Problem(Kind.NO_IMAGE, f"{entry.names[0]} in {entry.where}", _near(entry, target)))
        else:
            drawn.not_there.append(entry.names[0])
    drawn.labeled = set(entries)
    return entries


def _near(entry: LabeledImage, target: MaskTarget) -> str:
    """What the data set has instead of an image; of the same name but for the ending, if there is such."""
    name = entry.names[0].rsplit("/", 1)[-1]
    images = [*target.anomalous, *target.normal][:_MOST_COMPARED]
    alike = [image for image in images if normal_name(image.stem) == normal_name(Path(name).stem)]
    near = difflib.get_close_matches(name, [image.name for image in images], n=1)
    alike += [image for image in images if image.name in near]
    return f"nearest: {target.named(alike[0])}" if alike else ""


def _chosen(image: Path, entries: Sequence[LabeledImage], chosen: Collection[str] | None, drawn: Drawn) -> list[Shape]:
    """The shapes of an image that count; the others are counted."""
    shapes = [shape for entry in entries for shape in entry.shapes]
    kept = [shape for shape in shapes if chosen is None or shape.label in chosen]
    drawn.not_chosen.update(shape.label for shape in shapes if chosen is not None and shape.label not in chosen)
    if not kept:
        (drawn.other_labels if shapes else drawn.good).add(image)
    return kept


def _problems(
    image: Path, entries: Sequence[LabeledImage], shapes: Sequence[Shape], fact: FileFacts, target: MaskTarget
) -> list[Problem]:
    """What is wrong with the labels of one image."""
    if fact.size is None:
        return [Problem(Kind.UNREADABLE, target.named(image), fact.error)]
    found = [
        Problem(Kind.LABELED_SIZE, target.named(image), f"{_px(fact.size)}, {entry.where} says {_px(entry.size)}")
        for entry in entries
        if entry.size not in {None, fact.size}
    ]
    names = {entry.names[-1] for entry in entries}
    longest = max(names, key=len)
    if any(not longest.endswith(name) for name in names):
        detail = f"it would be the one image of {' and '.join(sorted(names))}"
        found.append(Problem(Kind.UNCLEAR_IMAGE, target.named(image), detail))
    if not found:
        misfits = ((shape, shape.region.misfit(fact.size)) for shape in shapes)
        found = [Problem(misfit[0], shape.where, misfit[1]) for shape, misfit in misfits if misfit]
    return found


def _draw(image: Path, shapes: Sequence[Shape], size: Size, target: MaskTarget, drawn: Drawn) -> None:
    """Add an image's mask, unless no shape marks a pixel."""
    union = np.zeros(size[::-1], bool)
    instances = set()
    for index, shape in enumerate(shapes):
        marks = shape.region.draw(size)
        if marks.any():
            union |= marks
            instances.add((shape.label, shape.instance or index))
        else:
            drawn.unmarked.append(shape.where)
    drawn.instances.update(label for label, _ in instances)
    if instances:
        content = BytesIO()
        Image.fromarray(union.astype(np.uint8) * 255).save(content, format="PNG")
        drawn.masks[target.mask_name(image)] = content.getvalue()


def _shared_names(target: MaskTarget) -> list[Problem]:
    """Anomalous images whose masks would be one file, on a file system that ignores upper and lower case, too."""
    by_name: Mapping[str, list[Path]] = defaultdict(list)
    for image in target.anomalous:
        by_name[normal_name(target.mask_name(image))].append(image)
    return [
        Problem(Kind.SAME_MASK, " and ".join(map(target.named, images)), f"both {target.mask_name(images[0])}")
        for images in by_name.values()
        if len(images) > 1
    ]


def _px(size: Size | None) -> str:
    return "x".join(map(str, size or ()))
