"""Finds the image that a label file means by a name."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from extensions.data.checks.mask_pairing import normal_name
from extensions.data.labels.labeled_image import LabeledImage


class ImageNames:
    """The images of a data set by their names.

    A name may be a path from anywhere: the more of its last folders an image shares, the better it fits. A label file
    often knows another folder than the data set does (``images/default/7.png``), so that the file's name is enough
    where it is the only one; but not where the next folder of the name is one of the data set's, or where the label
    files themselves tell images of one name by their folders.

    Args:
        images: Of the data set.
        root: Folders above it say nothing.
    """

    def __init__(self, images: Sequence[Path], root: Path) -> None:
        self._images = set(images)
        self._folders: dict[str, list[tuple[tuple[str, ...], Path]]] = defaultdict(list)
        self._known: set[str] = set()
        for image in images:
            folders = _parts(os.path.relpath(image.parent, root))
            self._folders[normal_name(image.name)].append((folders, image))
            self._known.update(folders)

    def find(self, labeled: LabeledImage, *, by_file_name: bool) -> list[Path]:
        """The images that fit: one where it is clear.

        Args:
            labeled: The entry.
            by_file_name: Whether the file's name alone may be enough.
        """
        if labeled.path in self._images:
            return [labeled.path]
        found: list[Path] = []
        for name in labeled.names:
            fitting = self._fitting(name, by_file_name=by_file_name)
            if len(fitting) == 1:
                return fitting
            found = found or fitting
        return found

    def _fitting(self, name: str, *, by_file_name: bool) -> list[Path]:
        *given, file_name = _parts(name) or ("",)
        scored = []
        for folders, image in self._folders.get(file_name, []):
            n = _n_shared(given, folders)
            rest = given[: len(given) - n]
            is_other = bool(rest) and rest[-1] in self._known and (n == 0 or len(folders) > n)
            if not is_other and (n > 0 or not given or by_file_name):
                scored.append((n, image))
        best = max((n for n, _ in scored), default=0)
        return [image for n, image in scored if n == best]


def tells_by_folder(entries: Sequence[LabeledImage]) -> bool:
    """Whether label files hold images of one name in several folders."""
    folders: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for entry in entries:
        *given, file_name = _parts(entry.names[0]) or ("",)
        folders[file_name].add(tuple(given))
    return any(len(found) > 1 for found in folders.values())


def _parts(name: str) -> tuple[str, ...]:
    """Of a path: its parts in one form, without those that name no folder."""
    return tuple(normal_name(part) for part in PurePosixPath(os.path.normpath(name)).parts if part not in {"..", "/"})


def _n_shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many parts are equal at the end."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
