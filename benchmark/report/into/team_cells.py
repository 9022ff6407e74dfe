"""What a team wrote beside our rows, read from its workbook."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.metrics.columns import column
from benchmark.report.locks import ReportError
from benchmark.report.team_columns import COMMENT, KEY, TeamColumns, TeamRow

_NAMES = ("model", "backbone", "settings", "dataset", "category", "seed")


def read_team_columns(path: Path, sheet: str) -> TeamColumns:
    """The column `Comment` of a sheet of ours and those to its right, with the keys of their rows.

    Raises:
        ReportError: There is a formula in one of them, which would not move with its row; or the sheet has lost the
            hidden keys.
    """
    rows = _cells(path, sheet)
    headings = [cell.value for cell in rows[0]] if rows else []
    if COMMENT not in headings:
        return TeamColumns()
    first = headings.index(COMMENT)
    if KEY not in headings[:first]:
        msg = (
            f"{path}: the sheet {sheet} has lost its hidden column {KEY!r}, so it is not known which row a comment is "
            "about, and nothing was changed; put the column back, or rename the sheet to keep it as your own"
        )
        raise ReportError(msg)
    _check_formulas(path, sheet, [cell for row in rows[1:] for cell in row[first:]])
    texts = [[cell.value for cell in row] for row in rows]
    width = max((place + 1 for row in texts for place, value in enumerate(row) if value is not None), default=0)
    padded = [row + [None] * (width - len(row)) for row in texts]
    found = [
        TeamRow(str(row[headings.index(KEY)] or ""), _told(headings, row), tuple(row[first:width]))
        for row in padded[1:]
        if any(value is not None for value in row[first:])
    ]
    return TeamColumns(tuple(str(heading or "") for heading in padded[0][first:width]), tuple(found))


def _cells(path: Path, sheet: str) -> list[list[Any]]:
    from openpyxl import load_workbook

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what openpyxl does not know: it only reads
        book = load_workbook(path, read_only=True)
    try:
        return [list(row) for row in book[sheet].iter_rows()]
    finally:
        book.close()


def _check_formulas(path: Path, sheet: str, cells: Sequence[Any]) -> None:
    for cell in cells:
        if cell.data_type == "f":
            msg = (
                f"{path}: the sheet {sheet} has a formula in {cell.coordinate}, which cannot move with its row, so "
                "nothing was changed; put formulas on a sheet of your own"
            )
            raise ReportError(msg)


def _told(headings: Sequence[Any], texts: Sequence[Any]) -> str:
    """A row as a reader knows it, from the cells that name it; of a row that is gone from its first cell."""
    wanted = [column(name).heading for name in _NAMES]
    named = [str(texts[headings.index(name)] or "") for name in wanted if name in headings]
    return ", ".join(filter(None, named)) or str(texts[0] or "")
