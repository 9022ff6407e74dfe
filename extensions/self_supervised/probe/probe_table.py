"""The rows of probe.csv: kept from run to run, found again by what decides them."""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from extensions.runtime.atomic_write import write_whole

COLUMNS = {
    "data": "Name of the data set.",
    "backbone": "timm name, or pixels.",
    "layer": "Whose average over all positions is the features.",
    "weights": "pixels, random, imagenet, the backbone's tag, or the name of the file that was given.",
    "weights_sha256": "Of the weights file; blank where there is none.",
    "n_features": "Width of the features.",
    "n_train": "Training images.",
    "n_test": "Test images.",
    "n_classes": "Classes.",
    "image_size": "Height and width in px that a network sees.",
    "C": "Chosen inverse strength of the L2 penalty.",
    "top1": "Linear probe: part of the test images whose class is the most probable one; higher is better.",
    "top1_se": "One standard error of top1.",
    "top5": "Linear probe: class among the five most probable; blank with five classes or fewer.",
    "knn_top1": "Weighted vote of the 20 nearest training images; higher is better.",
    "chance": "Accuracy of always answering the most frequent class of training.",
    "seconds": "Of the features, which the layers of an encoder share, and of the fits.",
    "seed": "Of random weights and of what is held out of training.",
    "key": "Hash of everything that decides the row.",
}
SHOWN = ("data", "backbone", "layer", "weights", "n_features", "C", "top1", "top1_se", "top5", "knn_top1", "chance")
NUMBERS = {*COLUMNS} - {"data", "backbone", "layer", "weights", "weights_sha256", "key"}
REMEDY = "move it away, or give another --output"
PERCENT = {"top1", "top1_se", "top5", "knn_top1", "chance"}

Row = dict[str, str]


def read_rows(path: Path) -> dict[str, Row]:
    """The rows of a probe.csv by their key, none where there is no such file.

    Raises:
        ValueError: The file is not a probe.csv of this version, or it is damaged; the message names the line.
    """
    if not path.exists():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        msg = f"{path}: found bytes that are no UTF-8 text; {REMEDY}"
        raise ValueError(msg) from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if list(reader.fieldnames or ()) != list(COLUMNS):
        found = ",".join(reader.fieldnames or ()) or "an empty file"
        msg = f"{path}: found {found}; expected the columns {','.join(COLUMNS)}: {REMEDY}"
        raise ValueError(msg)
    rows: dict[str, Row] = {}
    for row in reader:
        wrong = [str(name or "a cell too many") for name, value in row.items() if not _is_right(name, value)]
        if wrong:
            msg = f"{path}, line {reader.line_num}: damaged in {', '.join(wrong)}; {REMEDY}"
            raise ValueError(msg)
        rows[row["key"]] = row
    return rows


def _is_right(name: str | None, value: str | None) -> bool:
    """Whether this may stand in the column; one of the name None is of a cell too many."""
    if name is None or value is None:
        return False
    if name == "key":
        return re.fullmatch(r"[0-9a-f]{40}", value) is not None
    if name not in NUMBERS:
        return "\0" not in value
    try:
        return (name == "top5" and not value) or math.isfinite(float(value))
    except ValueError:
        return False


def write_rows(path: Path, rows: Mapping[str, Row], *, order: Sequence[str]) -> None:
    """Write rows by their key: those of `order` first and in that order, then the others."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    first = [key for key in order if key in rows]
    writer.writerows(rows[key] for key in [*first, *(key for key in rows if key not in set(first))])
    write_whole(path, text.getvalue())


def as_row(values: Mapping[str, Any]) -> Row:
    """A row's values as they stand in the file: numbers unrounded, None blank."""
    return {name: "" if values[name] is None else str(values[name]) for name in COLUMNS}


def as_text(rows: Sequence[Row]) -> str:
    """Rows for a terminal; accuracies in percent."""
    lines = [[f"{name} %" if name in PERCENT else name for name in SHOWN]]
    lines += [[_shown(name, row[name]) for name in SHOWN] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = {"data", "backbone", "layer", "weights"}
    return "\n".join(
        "  ".join(
            cell.ljust(width) if name in texts else cell.rjust(width)
            for name, cell, width in zip(SHOWN, line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def _shown(name: str, value: str) -> str:
    if not value or name not in {*PERCENT, "C"}:
        return value
    return f"{float(value):g}" if name == "C" else f"{100 * float(value):.1f}"
