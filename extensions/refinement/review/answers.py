"""What a person decided about the suspects, read from a CSV that has been through a browser or a spreadsheet."""

import codecs
import csv
import difflib
import io
import re
import unicodedata
from collections.abc import Collection, Iterator
from pathlib import Path

from extensions.refinement.review.suspect_lines import answer_of, written

_NEEDED = ("image", "removed_in_round", "keep")
_SEPARATORS = ",;\t"
_REMEDY = "save suspects.html or a spreadsheet as CSV with the columns of the suspects.csv that a refinement wrote"
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")  # stands in no text


class ReviewError(ValueError):
    """A review cannot be used; the message is one sentence: file, line, found, expected, remedy."""


def read_review(path: str | Path, names: Collection[str]) -> dict[str, bool]:
    """Read which training images a person keeps.

    An empty ``keep`` is the tool's verdict: drop what was removed in some round. Taken as they come are: commas,
    semicolons or tabs between the columns, columns in another order or added, a byte order mark, UTF-8, UTF-16 or
    Windows' encoding, any line ends, trailing cells that were cut off.

    Args:
        path: A ``suspects.csv``, as written, edited, or saved from ``suspects.html``.
        names: Every training image, relative to the data root with forward slashes.

    Returns:
        For every name whether it is kept.

    Raises:
        ReviewError: The file cannot be read as a review, names an image that is not among ``names``, one twice or not
            all of them, says of one neither yes nor no, or leaves none to train on.
    """
    path = Path(path)
    verdicts = dict.fromkeys(names, True)
    exact = {written(name): name for name in names} | {name: name for name in names}
    loose = _loose_names(names)
    lines: dict[str, int] = {}
    for line, row in _rows(path):
        where = f"{path}, line {line}"
        image = row["image"]
        name = exact.get(image) or loose.get(_loose(image))
        if name is None:
            raise ReviewError(_unknown(where, image, names))
        if name in lines:
            msg = f"{where}: {name!r} stands there a second time (first in line {lines[name]}); leave one of the lines"
            raise ReviewError(msg)
        lines[name] = line
        verdicts[name] = _verdict(row, where)
    missing = [name for name in names if name not in lines]
    if missing:
        msg = (
            f"{path} names {len(lines)} of the {len(verdicts)} images, not {missing[0]!r}; expected every one: put "
            "the lines back, and say no in 'keep' to drop an image"
        )
        raise ReviewError(msg)
    if verdicts and not any(verdicts.values()):
        msg = f"{path} keeps none of the {len(verdicts)} training images; put yes into 'keep' of those to train on"
        raise ReviewError(msg)
    return verdicts


def _verdict(row: dict[str, str], where: str) -> bool:
    """Whether the row's image is kept."""
    try:
        answer = answer_of(row["keep"])
    except ValueError as error:
        msg = (
            f"{where}: 'keep' is {row['keep'].strip()!r}; expected yes or no (also true/false, 1/0, keep/drop), "
            "or nothing for the tool's verdict"
        )
        raise ReviewError(msg) from error
    if answer is not None:
        return answer
    text = row["removed_in_round"].strip()
    if text and not re.fullmatch(r"[1-9]\d*([.,]0+)?", text):
        msg = (
            f"{where}: 'removed_in_round' is {text!r}; expected the number of a round, or nothing for an image that "
            "was kept; correct it, or put yes or no into 'keep'"
        )
        raise ReviewError(msg)
    return not text


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells by column of every row that is not blank."""
    lines = io.StringIO(_text(path), newline="").readlines()
    # "sep=;" is how Excel is told the separator
    top = next((i for i, line in enumerate(lines) if line.strip() and not re.fullmatch("sep=.", line.strip())), 0)
    separator = max(_SEPARATORS, key=lambda sign: len(set(_NEEDED) & set(_cells(lines[top], sign))))
    columns = _cells(lines[top], separator)
    _check_columns(columns, f"{path}, line {top + 1}")
    reader = csv.reader(lines[top + 1 :], delimiter=separator, strict=True)  # an open quote would swallow lines
    before = top + 1
    try:
        for cells in reader:
            line, before = before + 1, top + 1 + reader.line_num
            if any(cell.strip() for cell in cells):
                padded = [*cells, *[""] * (len(columns) - len(cells))]  # some programs cut trailing empty cells off
                yield line, dict(zip(columns, padded, strict=False))
    except csv.Error as error:
        msg = f"{path}, line {before + 1}: cannot be read as CSV ({error}); {_REMEDY}"
        raise ReviewError(msg) from error


def _cells(header: str, separator: str) -> list[str]:
    return [cell.strip().lower() for cell in next(csv.reader([header.strip()], delimiter=separator))]


def _check_columns(columns: list[str], where: str) -> None:
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        found = ", ".join(repr(name[:40]) for name in columns[:8])
        msg = f"{where}: no column {' and no column '.join(missing)}; found {found}; {_REMEDY}"
        raise ReviewError(msg)
    twice = [name for name in _NEEDED if columns.count(name) > 1]
    if twice:
        msg = f"{where}: there are {columns.count(twice[0])} columns {twice[0]!r}; leave one of them"
        raise ReviewError(msg)


def _text(path: Path) -> str:
    """The file as text, whatever program wrote it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        msg = f"cannot read the review {path}: {reason}; expected a suspects.csv that a refinement wrote"
        raise ReviewError(msg) from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = content.decode("utf-16", "replace")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("cp1252", "replace")
    if not text.strip():
        msg = f"the review {path} is empty; {_REMEDY}"
        raise ReviewError(msg)
    if _CONTROL.search(text):
        kind = "a spreadsheet or an archive" if content.startswith(b"PK") else "binary"
        msg = f"the review {path} is not a text file ({kind}); {_REMEDY}"
        raise ReviewError(msg)
    return text


def _loose_names(names: Collection[str]) -> dict[str, str]:
    """Names by how programs may have changed them, without those that this makes equal."""
    found: dict[str, set[str]] = {}
    for name in names:
        text = written(name)
        # As Excel shows and saves UTF-8 that it opened by a double click: ``Prüfung`` becomes ``PrÃ¼fung``.
        misread = text.encode("utf-8").decode("cp1252", "ignore")
        for alias in {_loose(text), _loose(misread)}:
            found.setdefault(alias, set()).add(name)
    return {alias: next(iter(those)) for alias, those in found.items() if len(those) == 1}


def _loose(text: str) -> str:
    """Without what a file system or a person may change in a name: accents' form, slashes, blanks around it."""
    return unicodedata.normalize("NFC", text.strip().replace("\\", "/").removeprefix("./"))


def _unknown(where: str, image: str, names: Collection[str]) -> str:
    if not image.strip():
        return f"{where}: no image is named; fill in 'image' or delete the line"
    near = difflib.get_close_matches(image, list(names), n=1)
    hint = f" (nearest: {near[0]!r})" if near else ""
    remedy = "correct it, delete the line, or give the review of this data set"
    if {"?", "\ufffd"} & set(image):
        remedy = "letters of it seem lost: save the spreadsheet as CSV UTF-8"
    return (
        f"{where}: {image[:200]!r} is not one of the {len(names)} training images{hint}; "
        f"expected a name relative to the data root: {remedy}"
    )
