"""Masks that lie among the images: beside them, or in folders of their own below."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from extensions.data.checks.folder_names import is_mask_folder, may_be_mask_folder
from extensions.data.checks.inspection import FileFacts, inspect_files
from extensions.data.checks.mask_pairing import base_name, normal_name
from extensions.data.errors import Kind, Problem
from extensions.data.reading.files import list_images, relative_name
from extensions.data.reading.marking import Look

MOST = 0.9  # share of files that look like masks, in a folder of masks


def masks_beside(files: Iterable[Path]) -> set[Path]:
    """The files among ``files`` that are masks of others, by their names and by what they hold.

    A mask is ``7_mask.png``, ``7_GT.png``, ``gt_7.png`` or the like beside ``7.png``; or ``7.png`` beside ``7.jpg``.
    In both cases it must hold black and white, or a few values, and not a photograph: ``bottle_label.png`` beside
    ``bottle.png`` may be an image. One that has lost its image must hold a few values only.
    """
    by_place: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path in files:
        by_place[path.parent, normal_name(path.stem)].append(path)
    named = {
        path: (path.parent, base) in by_place
        for paths in by_place.values()
        for path in paths
        if (base := base_name(path.stem)) is not None
    }
    twins = [paths for paths in by_place.values() if len(paths) > 1]
    facts = inspect_files([*named, *(path for paths in twins for path in paths)], masks=True)
    sure = {path: _likeness(facts[str(path)]) for path in {*named, *(path for paths in twins for path in paths)}}
    found = {path for path, has_image in named.items() if sure[path] >= (1 if has_image else 2)}
    for paths in twins:
        if any(sure[path] == 0 for path in paths):
            found |= {path for path in paths if sure[path] > 0}
    return found


def mask_folders(folder: Path, *, named: Sequence[Path] = ()) -> list[Path]:
    """Folders of masks below ``folder``, but for those that are, or lie in, ``named`` ones.

    ``masks``, ``ground_truth`` and ``gt`` are such by their names; ``labels`` or ``scratch_masks`` only when nearly all
    in them looks like masks.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_dir() and not any(path == other or other in path.parents for other in named):
            is_sure = is_mask_folder(path.name)
            if is_sure or (may_be_mask_folder(path.name) and _hold_masks(list_images(path))):
                found.append(path)
    return found


def _hold_masks(files: Sequence[Path]) -> bool:
    facts = inspect_files(files, masks=True)
    return sum(_likeness(fact) > 0 for fact in facts.values()) > MOST * len(files)


def set_apart(images: Sequence[Path], folder: Path, root: Path) -> tuple[list[Path], list[Problem]]:
    """Images of a folder in which no mask is expected, without the masks; these, and folders of them, as problems."""
    masks = masks_beside(images)
    folders = mask_folders(folder)
    problems = [Problem(Kind.MASK_BESIDE, relative_name(path, root)) for path in masks]
    problems += [Problem(Kind.MASK_FOLDER, relative_name(path, root)) for path in folders]
    within = {path for place in folders for path in list_images(place)}
    return [path for path in images if path not in masks and path not in within], problems


def _likeness(fact: FileFacts) -> int:
    """How much a file looks like a mask: 2 for a few values, 1 for nearly only black and white, 0 for a photograph."""
    if fact.error or fact.look == Look.GREY:
        return 0
    return int(fact.is_drawn) if fact.is_lossy else 2
