"""Which images are of one part, so that all of them stay on one side of every split."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from extensions.data.errors import DatasetError, DatasetMissingError
from extensions.data.reading.files import absolute

FOLDER = "folder"
"""In place of a pattern: images of one folder are of one part."""
GROUP = "group"
"""The column of the samples that names the part of each image."""
COLUMNS = ("file", "group")
Shared = Literal["keep", "not_trained", "not_tested"]
"""What becomes of a part with images in training and in test."""
_NAMED = 3  # examples in a message


def check_group(group: str | Path | None) -> None:
    """Refuse what can name no parts, before any file is looked at.

    Raises:
        ValueError: No regular expression, or one without a group in parentheses.
    """
    if group is None or is_table(group) or group == FOLDER:
        return
    try:
        pattern = re.compile(str(group))
    except re.error as error:
        msg = f"group {str(group)!r} is no regular expression ({error}); expected one, a .csv file or {FOLDER!r}"
        raise ValueError(msg) from None
    if not pattern.groups:
        msg = (
            f"group {str(group)!r} has no parentheses; put them around the piece of a file's name that names its part, "
            r"such as part(\d+)_"
        )
        raise ValueError(msg)


def parts_of(paths: Sequence[str], names: Sequence[str], group: str | Path, *, folder: Path, name: str) -> list[str]:
    """The part that each image is of.

    Args:
        paths: Of the images.
        names: Of the images in records: relative to the data set's root, with slashes.
        group: `folder`; a .csv file with the columns file (relative to where it lies, or as in `names`) and group; else
            a regular expression that is searched in the name, whose first group that matches something names the part.
        folder: Where a relative .csv file starts.
        name: The data set's.

    Returns:
        A text for each image, not empty.

    Raises:
        DatasetMissingError: The file is not there.
        DatasetError: A file that is no such table, or images that no part is named for; it says how many and which.
    """
    if group == FOLDER:
        return [one.rpartition("/")[0] or "." for one in names]
    if is_table(group):
        table = absolute(group, base=folder)
        known = _read_table(table, name)
        found = [
            known.get(_key(path, table.parent)) or known.get(one, "") for path, one in zip(paths, names, strict=True)
        ]
        what, remedy = f"{table} names", "add a line for each"
    else:
        pattern = re.compile(str(group))
        matches = [pattern.search(one) for one in names]
        found = [next(filter(None, match.groups()), "") if match else "" for match in matches]
        what, remedy = f"group {str(group)!r} matches", "give an expression that matches all, or a .csv file"
    unnamed = [one for one, part in zip(names, found, strict=True) if not part]
    if unnamed:
        more = f" and {len(unnamed) - _NAMED} more" if len(unnamed) > _NAMED else ""
        msg = (
            f"data set {name!r}: {what} the part of {len(names) - len(unnamed)} of {len(names)} images, not of "
            f"{', '.join(unnamed[:_NAMED])}{more}; {remedy}"
        )
        raise DatasetError(msg)
    return found


def joined_parts(contents: Sequence[str], parts: Sequence[str]) -> list[str]:
    """What is drawn as a whole: the part, and parts that have an image in common as one.

    Args:
        contents: What each image holds (a hash).
        parts: Of each image; empty for an image that is a part of its own.

    Returns:
        A name for each image, that of the first part in alphabetical order.
    """
    leader: dict[str, str] = {}

    def first_of(one: str) -> str:
        while leader.setdefault(one, one) != one:
            leader[one] = leader[leader[one]]
            one = leader[one]
        return one

    holder: dict[str, str] = {}
    units = [part or f"\0{content}" for content, part in zip(contents, parts, strict=True)]
    for content, unit in zip(contents, units, strict=True):
        a, b = sorted((first_of(holder.setdefault(content, unit)), first_of(unit)))
        leader[b] = a
    return [first_of(unit).removeprefix("\0") for unit in units]


def is_table(group: str | Path | None) -> bool:
    """Whether parts are named by a `.csv` file."""
    return isinstance(group, Path) or str(group).lower().endswith(".csv")


def _key(path: str | Path, folder: Path) -> str:
    """How a table names a file: relative to the folder where the table lies, with slashes."""
    try:
        return Path(path).relative_to(folder).as_posix()
    except ValueError:
        return Path(path).as_posix()


def _read_table(table: Path, name: str) -> dict[str, str]:
    """File to part."""
    if not table.is_file():
        msg = f"data set {name!r} has no file {table}; correct `group` in the config, or leave it out"
        raise DatasetMissingError(msg)
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = tuple(reader.fieldnames or ())
            rows = [] if set(COLUMNS) - set(columns) else [(row["file"] or "", row["group"] or "") for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        msg = f"{table}: no table of text ({error}); expected a CSV file in UTF-8 with the columns {', '.join(COLUMNS)}"
        raise DatasetError(msg) from None
    if not rows:
        found = f"the columns {', '.join(columns)}" if columns else "nothing"
        msg = f"{table}: found {found}; expected lines under the columns {', '.join(COLUMNS)}"
        raise DatasetError(msg)
    several = Counter(file for file, _ in set(rows))
    if twice := [file for file, n in several.items() if n > 1]:
        msg = f"{table}: {twice[0]} is in two groups; expected one line a file"
        raise DatasetError(msg)
    return {file.replace("\\", "/").removeprefix("./"): part.strip() for file, part in rows}
