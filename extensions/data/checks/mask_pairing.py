"""Pairs anomalous images with their masks by name."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from extensions.data.checks.folder_names import is_mask_folder
from extensions.data.errors import Kind, Problem
from extensions.data.reading.files import relative_name

_WORDS = r"(masks?|gt|ground[ _\-]?truth|labels?|seg|segmentation|annotations?)"
_SUFFIX = re.compile(rf"[ _.\-]{_WORDS}$", re.IGNORECASE)
_PREFIX = re.compile(rf"^{_WORDS}[ _.\-]", re.IGNORECASE)


@dataclass(frozen=True)
class Candidate:
    """An image or mask file, the folder it was found under, and that folder's place in its list."""

    path: Path
    folder: Path
    index: int = 0


@dataclass
class Pairing:
    """Which mask belongs to which image, and every file that could not be paired."""

    masks: dict[Path, Path] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def pair_masks(images: Sequence[Candidate], masks: Sequence[Candidate], *, root: Path, image_end: str = "") -> Pairing:
    """Pair each image with the mask of its name.

    A mask fits an image when their names without extension are equal, or equal but for ``_mask``, ``_gt`` or the like
    at the mask's end, or ``mask_`` at its beginning. Where both lie in subfolders of the folders given, the subfolders
    must be equal, too. Of several masks that fit, the one whose path shares more folder names with the image's is
    taken, then the one from the folder at the same place of the list. What still fits twice is a problem, as is what
    does not fit at all. The names of images may end in ``image_end``, which the masks' need not.
    """
    by_name: dict[str, list[Candidate]] = defaultdict(list)
    for mask in masks:
        for name in {normal_name(mask.path.stem), base_name(mask.path.stem) or normal_name(mask.path.stem)}:
            by_name[name].append(mask)
    pairing = Pairing()
    wanted: dict[Path, list[tuple[tuple[int, int], Candidate]]] = defaultdict(list)
    claimed: set[Path] = set()
    for image in images:
        scored = _scored(image, by_name, image_end)
        if not scored:
            pairing.problems.append(Problem(Kind.NO_MASK, relative_name(image.path, root)))
            continue
        best = max(score for score, _ in scored)
        fitting = [mask for score, mask in scored if score == best]
        claimed.update(mask.path for mask in fitting)
        if len(fitting) > 1:
            names = " or ".join(sorted(relative_name(mask.path, root) for mask in fitting))
            pairing.problems.append(Problem(Kind.AMBIGUOUS_MASK, relative_name(image.path, root), names))
        else:
            wanted[fitting[0].path].append((best, image))
    _settle(wanted, pairing, root=root)
    extra = (mask.path for mask in masks if mask.path not in claimed)
    pairing.problems += [Problem(Kind.EXTRA_MASK, relative_name(path, root)) for path in extra]
    return pairing


def _settle(wanted: dict[Path, list[tuple[tuple[int, int], Candidate]]], pairing: Pairing, *, root: Path) -> None:
    """Give each mask to the one image that it fits best."""
    for mask, claims in wanted.items():
        best = max(score for score, _ in claims)
        winners = [image.path for score, image in claims if score == best]
        losers = [image.path for score, image in claims if score < best]
        if len(winners) == 1:
            pairing.masks[winners[0]] = mask
        else:
            names = " and ".join(sorted(relative_name(path, root) for path in winners))
            pairing.problems.append(Problem(Kind.AMBIGUOUS_MASK, relative_name(mask, root), f"fits {names}"))
        pairing.problems += [Problem(Kind.NO_MASK, relative_name(path, root)) for path in losers]


def _scored(
    image: Candidate, by_name: dict[str, list[Candidate]], image_end: str
) -> list[tuple[tuple[int, int], Candidate]]:
    """The masks whose names fit the image, with how near they lie to it."""
    names = {image.path.stem, image.path.name, *([image.path.name.removesuffix(image_end)] if image_end else [])}
    fitting = {mask.path: mask for name in map(normal_name, names) for mask in by_name.get(name, [])}
    ours = _subfolders(image)
    scored = []
    for mask in fitting.values():
        theirs = _subfolders(mask)
        if not (ours and theirs and ours != theirs):
            shared = len(_folder_names(image.path) & _folder_names(mask.path))
            scored.append(((shared, int(image.index == mask.index)), mask))
    return scored


def _subfolders(candidate: Candidate) -> tuple[str, ...]:
    parts = candidate.path.parent.relative_to(candidate.folder).parts
    return tuple(bare for part in parts if (bare := _bare(part)))


def _folder_names(path: Path) -> set[str]:
    return {_bare(part) for part in path.parent.parts} - {""}


def _bare(folder: str) -> str:
    """A folder's name without what only says that masks lie there."""
    return "" if is_mask_folder(folder) else _SUFFIX.sub("", normal_name(folder))


def base_name(stem: str) -> str | None:
    """The name of the image that a mask of this name belongs to; None when the name says nothing of masks."""
    name = normal_name(stem)
    for pattern in (_SUFFIX, _PREFIX):
        bare = pattern.sub("", name)
        if bare not in {name, ""}:
            return bare
    return None


def normal_name(name: str) -> str:
    """A name in one form of Unicode and in lower case: one file system writes "ü" as one code point, another as two."""
    return unicodedata.normalize("NFC", name).casefold()
