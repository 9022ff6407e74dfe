"""A team's columns beside our own, and below them what its rows have lost."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from xlsxwriter.worksheet import Worksheet

from benchmark.report.team_columns import KEY, TeamColumns, placed
from benchmark.report.xlsx.sheets import Sheets, write

GONE = "Comments on rows that are gone"
_NOTE = "Yours: what is written here and in columns further right stays with its row when the tables are written again."


def add_team_columns(sheets: Sheets, name: str, keys: Sequence[str], team: TeamColumns, *, at: int) -> None:
    """Add them to sheet `name`, from column `at` on, which is hidden and holds the keys of the rows."""
    sheet = sheets.book.get_worksheet_by_name(name)
    beside, left = placed(team, keys)
    width = len(team.headings)
    sheet.set_column(at, at, 18, None, {"hidden": True})
    sheet.set_column(at + 1, at + width, 40)
    for place, heading in enumerate((KEY, *team.headings), start=at):
        sheet.write_string(0, place, heading, sheets.format("head"))
    sheet.write_comment(0, at + 1, _NOTE, {"x_scale": 2.2})
    told = sheets.format("cell", wrap=True)
    for row, (key, values) in enumerate(zip(keys, beside, strict=True), start=1):
        write(sheet, row, at, key, told)
        _write_values(sheets, sheet, row, at + 1, values or (None,) * width)
    sheet.autofilter(0, 0, max(len(keys), 1), at + width)
    if not left:
        return
    first = max(len(keys), 1) + 2  # a blank row keeps the list out of the filter
    sheet.write_string(first, 0, GONE, sheets.format("label"))
    for row, lost in enumerate(left, start=first + 1):
        write(sheet, row, 0, lost.told, told)
        write(sheet, row, at, lost.key, told)
        _write_values(sheets, sheet, row, at + 1, lost.values)


def _write_values(sheets: Sheets, sheet: Worksheet, row: int, at: int, values: Sequence[Any]) -> None:
    """Write what a team wrote: whole texts, numbers, and dates as dates."""
    for place, value in enumerate(values, start=at):
        if isinstance(value, str):
            sheet.write_string(row, place, value, sheets.format("cell", wrap=True))
        elif isinstance(value, datetime.date | datetime.time | datetime.timedelta):
            number = "[hh]:mm:ss"
            if isinstance(value, datetime.date):
                number = (
                    "yyyy-mm-dd hh:mm"
                    if getattr(value, "hour", None) or getattr(value, "minute", None)
                    else "yyyy-mm-dd"
                )
            sheet.write_datetime(row, place, value, sheets.format("cell", number=number))
        else:
            write(sheet, row, place, value, sheets.format("cell", wrap=True))
