"""Where data lies: data roots, and the image files under a folder."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from extensions.data.reading.arrays import ARRAY_EXTENSIONS
from extensions.data.reading.image_files import IMAGE_EXTENSIONS

# Folders that file servers and archive programs leave behind, with thumbnails of the images in them.
_LITTER = {"__MACOSX", "@eaDir", "$RECYCLE.BIN"}


def named_data_root() -> Path | None:
    """``$WORKBENCH_DATA`` as an absolute path; None where it is not set."""
    named = os.environ.get("WORKBENCH_DATA")
    return absolute(named, base=Path.cwd()) if named else None


def from_data_root(path: str | Path, data_root: str | Path | None = None) -> Path:
    """``path``, from ``data_root`` on when it is relative; None for ``$WORKBENCH_DATA``, else the working directory."""
    start = absolute(data_root, base=Path.cwd()) if data_root else named_data_root() or Path.cwd()
    return absolute(path, base=start)


def absolute(path: str | Path, *, base: Path) -> Path:
    """``path`` with ``~`` expanded, from ``base`` on when it is relative; symbolic links are kept."""
    # normpath, not resolve: names in reports and records stay those the user gave.
    return Path(os.path.normpath(base / Path(path).expanduser()))


def list_images(
    folder: Path, *, extensions: Sequence[str] = IMAGE_EXTENSIONS, exclude: Iterable[Path] = ()
) -> list[Path]:
    """The image files under ``folder`` in sorted order, at any depth.

    Hidden files and folders (``.thumbs``), and what lies in the folders of ``exclude``, are left out. Upper and lower
    case of extensions do not matter. Folders that are symbolic links are followed.
    """
    accepted = {extension.lower() for extension in extensions}
    return [path for path in list_files(folder, exclude=exclude) if path.suffix.lower() in accepted]


def list_channel_images(
    folder: Path,
    channels: int | Sequence[str] | None,
    *,
    extensions: Sequence[str] = IMAGE_EXTENSIONS,
    exclude: Iterable[Path] = (),
) -> list[Path]:
    """As `list_images`, for a data set with the argument ``channels``: of several files of an image the first one."""
    if channels is None:
        return list_images(folder, extensions=extensions, exclude=exclude)
    if isinstance(channels, int):
        return list_images(folder, extensions=(*extensions, *ARRAY_EXTENSIONS), exclude=exclude)
    return [path for path in list_files(folder, exclude=exclude) if path.name.endswith(channels[0])]


def list_files(folder: Path, *, exclude: Iterable[Path] = ()) -> list[Path]:
    """All files under ``folder`` in sorted order; what is left out is as in `list_images`."""
    excluded = {path for path in exclude if path != folder}
    found: list[Path] = []
    seen: set[str] = set()
    for where, folders, files in os.walk(folder, followlinks=True):
        here = Path(where)
        real = os.path.realpath(where)
        if real in seen:  # a link that leads back up would never end
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not _is_litter(name) and here / name not in excluded)
        found += [here / name for name in files if not _is_litter(name)]
    return sorted(found)


def relative_name(path: str | Path, root: Path) -> str:
    """``path`` relative to ``root`` with forward slashes; with ``..`` where it lies outside."""
    return Path(os.path.relpath(path, root)).as_posix()


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name in _LITTER
