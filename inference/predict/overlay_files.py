"""The files of overlays: what each is called, how one is known again, and how those of an earlier run go."""

from __future__ import annotations

import contextlib
import csv
import re
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path, PurePosixPath

from extensions.runtime.escaped import file_name

FOLDER, VIDEO = "overlays", "annotated.mp4"
_HEADER = 33  # bytes of a PNG up to the end of its first chunk
_TEXT = b"Software\0Anomaly Workbench: predict"
MARK = struct.pack(">I", len(_TEXT)) + b"tEXt" + _TEXT + struct.pack(">I", zlib.crc32(b"tEXt" + _TEXT))
"""The PNG chunk by which an overlay of ours is known from a file of the user's."""
_FRAME = re.compile(r"#\d{6,}$")


def overlay_names(images: Iterable[str]) -> dict[str, str]:
    """What the overlay of each image is called, below the folder of overlays: `a/x.png` for `a/x.jpg`.

    Images that differ by their extension alone are kept apart: of `x.png` and `x.jpg` the second has `x-jpg.png`. Names
    are escaped as in the table, and cut where they are too long.

    Args:
        images: Paths below the input folder, each once.
    """
    given = list(images)
    plain = {name: f"{file_name(PurePosixPath(name).with_suffix('').as_posix())}.png" for name in given}
    n_wanting = Counter(plain.values())
    # Whoever has a plain name for itself, or is called so, has it; the others get what is left.
    found = {name: plain[name] for name in given if n_wanting[plain[name]] == 1 or name == plain[name]}
    taken = set(found.values()) | set(plain.values())
    for name in given:
        if name not in found:
            found[name] = next(one for one in _apart(name) if one not in taken)
            taken.add(found[name])
    return found


def _apart(name: str) -> Iterator[str]:
    path = PurePosixPath(name)
    stem = path.with_name(f"{path.stem}-{path.suffix[1:]}").as_posix()
    for number in count(1):
        yield f"{file_name(stem if number == 1 else f'{stem}-{number}')}.png"


def marked(png: bytes) -> bytes:
    """An encoded PNG with our mark in it."""
    return png[:_HEADER] + MARK + png[_HEADER:]


def is_marked(path: Path) -> bool:
    """Whether a file is an overlay that an earlier run wrote."""
    try:
        with path.open("rb") as file:
            return file.read(_HEADER + len(MARK))[_HEADER:] == MARK
    except OSError:
        return False


def remove_earlier(output: Path, *, table: str, columns: Sequence[Sequence[str]]) -> None:
    """Remove what an earlier run of `predict` left, and nothing else: its overlays would stand beside another table.

    Overlays are known by their mark; the table by its columns, and a video by the frames in that table. Of before
    overlays had a mark, those are removed that are named after a row of the table.

    Args:
        output: Of the run.
        table: Name of its table.
        columns: Of it, and of those of earlier versions.
    """
    overlays = output / FOLDER
    gone = [path for path in overlays.rglob("*.png") if path.is_file() and is_marked(path)]
    names = _rows_of(output / table, columns)
    if names is not None:
        named = [overlays / f"{name}.png" for name in names]
        gone += [path for path in named if path.is_file() and overlays.resolve() in path.resolve().parents]
        gone += [output / VIDEO] if names and all(map(_FRAME.search, names)) else []
        gone.append(output / table)
    for path in dict.fromkeys(gone):
        path.unlink(missing_ok=True)
    parents = {parent for path in gone for parent in path.parents}
    for folder in sorted((one for one in parents if overlays in (one, *one.parents)), reverse=True):
        with contextlib.suppress(OSError):  # that something is left in it
            folder.rmdir()


def _rows_of(table: Path, columns: Sequence[Sequence[str]]) -> list[str] | None:
    """Names of the images in a table of ours; None where there is none."""
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            if next(rows, None) not in [list(one) for one in columns]:
                return None
            return [row[0] for row in rows if row]
    except (OSError, ValueError, csv.Error):
        return None
