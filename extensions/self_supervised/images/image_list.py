"""Images found in one or several folders, one class a subfolder or none."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from extensions.configuration.errors import did_you_mean
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
            several folders `folder/class`.
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


def find_images(
    folders: Sequence[str | Path],
    data_root: str | Path | None = None,
    *,
    subfolder: str | None = None,
    leave_out: Sequence[str] = (),
) -> ImageList:
    """All images under some folders; a relative one starts at `data_root`, else at `$WORKBENCH_DATA`.

    Masks beside the images and in folders of their own are left out, which is logged, as are files that are images
    but for their endings.

    Args:
        folders: Of images.
        data_root: Where relative ones start.
        subfolder: Of each class, such as `train/good`: only what lies in it is taken. A folder that has it itself is
            one class.
        leave_out: Classes not to take, by their names with or without `folder/`.

    Raises:
        ValueError: No folder is given, one is not there, holds no image or lies in another, a class lacks the
            subfolder, there is no class of a name to leave out, there is a single image in all, or files have names
            that are not UTF-8.
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
        rows += _rows(place, several=len(places) > 1, subfolder=subfolder)
    rows = _without(rows, leave_out)
    if len(rows) < 2:
        msg = f"{escaped(places[0])}: found a single image; expected two or more, for there is nothing to tell it from"
        raise ValueError(msg)
    classes = tuple(sorted({row[1] for row in rows}))
    paths, kinds, names = zip(*rows, strict=True)
    return ImageList(paths, tuple(classes.index(kind) for kind in kinds), classes, names)


def _without(rows: list[tuple[Path, str, str]], leave_out: Sequence[str]) -> list[tuple[Path, str, str]]:
    """The rows of the other classes."""
    kinds = sorted({kind for _, kind, _ in rows})
    for name in leave_out:
        if not any(name in (kind, kind.rsplit("/", 1)[-1]) for kind in kinds):
            near = did_you_mean(name, kinds)
            msg = f"leave_out: there is no class {name!r} among {', '.join(map(escaped, kinds[:20]))}{near}"
            raise ValueError(msg)
    left = [row for row in rows if not {row[1], row[1].rsplit("/", 1)[-1]}.intersection(leave_out)]
    if not left:
        msg = f"leave_out: all classes are left out ({', '.join(leave_out)}); expected one or more to learn from"
        raise ValueError(msg)
    return left


def _rows(place: Path, *, several: bool, subfolder: str | None) -> list[tuple[Path, str, str]]:
    if not place.is_dir():
        msg = f"{escaped(place)}: no such folder; give an existing one, or --data-root for where relative ones start"
        raise ValueError(msg)
    taken = [place] if subfolder is None else _class_folders(place, subfolder)
    paths: list[Path] = []
    for folder in taken:
        images, misplaced = set_apart(list_images(folder), folder, place.parent)
        tell(place, [*misplaced, *left_out(folder, place.parent)])
        paths += images
    if not paths:
        msg = f"{escaped(place)}: no images found (.png, .jpg, .bmp, .tif ...); expected them in the folder or its "
        msg += "subfolders"
        raise ValueError(msg)
    if problems := bad_names(paths, root=place.parent):
        raise dataset_error(escaped(place.name), place.parent, problems)
    rows = []
    for path in paths:
        inside = path.relative_to(place).parts
        is_own = len(inside) == 1 or (subfolder is not None and taken == [place / subfolder])
        kind = place.name if is_own else inside[0]
        rows.append((path, f"{place.name}/{kind}" if several else kind, relative_name(path, place.parent)))
    return rows


def _class_folders(place: Path, subfolder: str) -> list[Path]:
    """The subfolder of the folder itself, or of each folder in it."""
    if (place / subfolder).is_dir():
        return [place / subfolder]
    classes = [path for path in sorted(place.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    lacking = [path.name for path in classes if not (path / subfolder).is_dir()] if classes else [place.name]
    if lacking:
        msg = (
            f"{escaped(place)}: no {subfolder!r} in {', '.join(map(escaped, lacking[:3]))}"
            f"{f' and {len(lacking) - 3} more' if len(lacking) > 3 else ''}; expected it in every folder there: name "
            "the folders that have it"
        )
        raise ValueError(msg)
    return [path / subfolder for path in classes]
