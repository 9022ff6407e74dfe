"""The rows of probe.csv: kept from run to run, found again by what decides them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from extensions.refinement.whole_file import write_whole

COLUMNS = (
    "data", "backbone", "layer", "weights", "weights_sha256", "n_features", "n_train", "n_test", "n_classes",
    "image_size", "C", "top1", "top1_se", "top5", "knn_top1", "chance", "seconds", "seed", "key",
)  # fmt: skip
SHOWN = ("data", "backbone", "layer", "weights", "n_features", "C", "top1", "top1_se", "top5", "knn_top1", "chance")
PERCENT = {"top1", "top1_se", "top5", "knn_top1", "chance"}

Row = dict[str, str]


def read_rows(path: Path) -> dict[str, Row]:
    """The rows of a probe.csv by their key, none where there is no such file.

    Raises:
        ValueError: The file is not a probe.csv of this version.
    """
    if not path.exists():
        return {}
    reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
    if tuple(reader.fieldnames or ()) != COLUMNS:
        found = ",".join(reader.fieldnames or ()) or "an empty file"
        msg = f"{path}: found {found}; expected the columns {','.join(COLUMNS)}: move it away, or give another --output"
        raise ValueError(msg)
    return {row["key"]: row for row in reader}


def write_rows(path: Path, rows: Mapping[str, Row], *, order: Sequence[str]) -> None:
    """Write rows by their key: those of `order` first and in that order, then the others."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
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
