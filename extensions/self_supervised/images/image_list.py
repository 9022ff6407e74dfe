"""Images found in one or several folders, one class a subfolder or none."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from extensions.data.checks.data_check import bad_names
from extensions.data.checks.left_out import left_out, tell
from extensions.data.checks.masks_beside import set_apart
from extensions.data.errors import dataset_error
from extensions.data.reading.files import from_data_root, list_images, relative_name
from extensions.runtime.escaped import escaped


@dataclass(frozen=True)
class ImageList:
    """Images of some folders.

    Attributes:
        paths: Of the files, sorted within each folder.
        labels: Class of each image, an index into `classes`.
        classes: Names, sorted: the subfolder, or the folder's own name for images that lie in it directly; with
            several folders `folder/subfolder`.
        names: Of the images, relative to their folder's parent.
    """

    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def sha256(self) -> str:
        """Of names and sizes in bytes: what tells this set of images from another."""
        digest = hashlib.sha256()
        for name, path in sorted(zip(self.names, self.paths, strict=True)):
            digest.update(f"{name}\0{path.stat().st_size}\n".encode())
        return digest.hexdigest()


def find_images(folders: Sequence[str | Path], data_root: str | Path | None = None) -> ImageList:
    """All images under some folders; a relative one starts at `data_root`, else at `$WORKBENCH_DATA`.

    Masks beside the images and in folders of their own are left out, which is logged, as are files that are images
    but for their endings.

    Raises:
        ValueError: No folder is given, one is not there, holds no image or lies in another, there is a single
            image in all, or files have names that are not UTF-8.
    """
    if isinstance(folders, str | Path) or not folders:
        msg = f"folders is {folders!r}; expected a list of folders with images, such as [pretraining_pool]"
        raise ValueError(msg)
    places = [from_data_root(folder, data_root) for folder in folders]
    for place in places:
        if any(place == other or other in place.parents for other in places if other is not place):
            msg = f"folders: {escaped(place)} is given twice or lies in another of them; its images would count twice"
            raise ValueError(msg)
    rows: list[tuple[Path, str, str]] = []
    for place in places:
        rows += _rows(place, several=len(places) > 1)
    if len(rows) < 2:
        msg = f"{escaped(places[0])}: found a single image; expected two or more, for there is nothing to tell it from"
        raise ValueError(msg)
    classes = tuple(sorted({row[1] for row in rows}))
    paths, kinds, names = zip(*rows, strict=True)
    return ImageList(paths, tuple(classes.index(kind) for kind in kinds), classes, names)


def _rows(place: Path, *, several: bool) -> list[tuple[Path, str, str]]:
    if not place.is_dir():
        msg = f"{escaped(place)}: no such folder; give an existing one, or --data-root for where relative ones start"
        raise ValueError(msg)
    paths, misplaced = set_apart(list_images(place), place, place.parent)
    tell(place, [*misplaced, *left_out(place, place.parent)])
    if not paths:
        msg = f"{escaped(place)}: no images found (.png, .jpg, .bmp, .tif ...); expected them in the folder or its "
        msg += "subfolders"
        raise ValueError(msg)
    if problems := bad_names(paths, root=place.parent):
        raise dataset_error(escaped(place.name), place.parent, problems)
    rows = []
    for path in paths:
        inside = path.relative_to(place).parts
        kind = inside[0] if len(inside) > 1 else place.name
        rows.append((path, f"{place.name}/{kind}" if several else kind, relative_name(path, place.parent)))
    return rows
