"""One look for every sheet, and sheets that show a frame."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from benchmark.metrics.columns import column, compares, heading_lines, is_shown, shown_dataset

INK, PALE, GREEN, LINE = "#1F2A37", "#FFFFFF", "#8CCB9B", "#B8C0CC"
PRINTED_UP_TO = "peak_memory_bytes"
WRAPPED = ("settings", "status", "message", "latency_note")
MAX_TEXT = 32_000  # a cell holds 32,767 characters
MAX_ADDRESS = 2000  # of a link
BAD, GRAY = "#B42318", "#5B6675"
KINDS: dict[str, dict[str, Any]] = {
    "cell": {},
    "head": {"bold": True, "font_color": "#FFFFFF", "bg_color": INK, "text_wrap": True, "border": 1,
             "border_color": LINE},
    "title": {"bold": True, "font_size": 18, "font_color": INK},
    "lead": {"bold": True, "font_size": 13, "text_wrap": True},
    "label": {"bold": True, "font_color": INK, "bottom": 1, "bottom_color": LINE},
    "text": {"text_wrap": True},
    "boxed": {"text_wrap": True, "border": 1, "border_color": LINE},
    "count": {"bold": True, "font_size": 13, "border": 1, "border_color": LINE, "align": "center"},
    "caption": {"font_color": GRAY, "font_size": 10, "text_wrap": True, "valign": "top"},
    "warning": {"font_color": BAD, "font_size": 10, "text_wrap": True, "valign": "top"},
    "code": {"font_name": "Consolas", "bg_color": "#EEF1F5", "border": 1, "border_color": LINE},
    "link": {"font_color": "#0B5CAD", "underline": 1, "font_size": 10},
    "input": {"bg_color": "#FFF3C4", "border": 2, "border_color": "#B7791F", "bold": True},
}  # fmt: skip
"""Looks of cells by what is in them; where it says nothing else a cell is centered up and down, in Calibri 11."""


class Sheets:
    """Adds sheets of one look to a workbook."""

    def __init__(self, book: xlsxwriter.Workbook) -> None:
        self.book = book
        self._formats: dict[tuple, Format] = {}

    def add(
        self,
        name: str,
        frame: pd.DataFrame,
        columns: Sequence[str],
        *,
        frozen: int = 0,
        compared: Sequence[str] | None = None,
        pages: int = 1,
        bold: str = "",
    ) -> Worksheet:
        """Add a table.

        Args:
            name: Of the sheet.
            frame: What to show.
            columns: Which of its columns, in this order.
            frozen: How many columns stay in view, beside the heading.
            compared: Columns whose equal values mark rows that are colored together; () for all rows, None for none.
            pages: On paper, side by side at most, each with the frozen columns.
            bold: Column whose `yes` makes its row bold.
        """
        sheet = self.book.add_worksheet(name)
        if frame.empty:
            sheet.write_string(1, 0, "Nothing to list.", self.format("cell", gray=True))
        self._head(sheet, frame, columns)
        starts = _starts(frame, compared or ())
        for row, (_, line) in enumerate(frame.iterrows(), start=1):
            rank = (
                line["rank"] if "rank" in frame.columns else 0
            )  # the best row of a data set is bold, one without rank gray
            is_best = bool(pd.notna(rank) and rank == 1) or (bold != "" and line[bold] == "yes")
            look = {"bold": is_best, "gray": bool(pd.isna(rank))}
            look["first"] = row - 1 in starts and row > 1
            sheet.set_row_pixels(row, 20 * _lines(line, columns))
            for place, entry in enumerate(columns):
                self._cell(sheet, row, place, entry, line, look)
        if compared is not None:
            self._color(sheet, frame, columns, [*starts, len(frame)])
        sheet.freeze_panes(1, frozen)
        sheet.autofilter(0, 0, max(len(frame), 1), len(columns) - 1)
        self.set_up_page(sheet, len(frame), columns)
        if pages > 1:
            sheet.fit_to_pages(min(pages, 1 + len(columns) // 16), 0)
            sheet.repeat_columns(0, frozen - 1)
        return sheet

    def _head(self, sheet: Worksheet, frame: pd.DataFrame, columns: Sequence[str]) -> None:
        sheet.set_row_pixels(0, 4 + 20 * max(map(heading_lines, columns)))
        for place, name in enumerate(columns):
            entry = column(name)
            hidden = name in frame.columns and not is_shown(name, frame[name])
            sheet.set_column(place, place, entry.width, None, {"hidden": hidden})
            sheet.write_string(0, place, entry.heading, self.format("head"))
            if entry.note:
                sheet.write_comment(0, place, entry.note, {"x_scale": 2.2, "y_scale": 1.2})

    def set_up_page(self, sheet: Worksheet, n_rows: int, columns: Sequence[str]) -> None:
        """Landscape, as wide as the page; of a wide table only what is read first."""
        sheet.set_landscape()
        sheet.set_paper(9)  # A4
        sheet.set_margins(left=0.4, right=0.4, top=0.5, bottom=0.5)
        sheet.fit_to_pages(1, 0)
        sheet.repeat_rows(0)
        last = columns.index(PRINTED_UP_TO) if PRINTED_UP_TO in columns else len(columns) - 1
        sheet.print_area(0, 0, max(n_rows, 1), last)

    def _cell(self, sheet: Worksheet, row: int, place: int, name: str, line: pd.Series, look: dict[str, bool]) -> None:
        value = line[name]
        if name == "dataset" and isinstance(value, str):
            value = shown_dataset(value, synthetic=line.get("synthetic") is True)
        bad = name == "status" and isinstance(value, str) and ("," in value or value == "failed")
        if name.endswith("_beyond") and isinstance(value, str):
            bad, look = value == "worse", look | {"bold": value in ("better", "worse")}
        entry = column(name)
        wrap = name in WRAPPED
        center = name == "rank"
        look = look | {"bad": bad, "wrap": wrap, "center": center, "indent": not entry.format}
        write(sheet, row, place, value, self.format("cell", number=entry.format, **look))

    def _color(self, sheet: Worksheet, frame: pd.DataFrame, columns: Sequence[str], bounds: Sequence[int]) -> None:
        """Color each column from pale (worst) to green (best), apart for each block of rows that compare."""
        for place, name in enumerate(columns):
            better = column(name).higher_is_better
            if better is None or name == "pixel_binning_error":
                continue
            for start, end in itertools.pairwise(bounds):
                block = frame.iloc[start:end]
                if block[name].round(9).nunique() < 2 or not compares(column(name), block):
                    continue
                scale = {"type": "2_color_scale", "min_color": PALE if better else GREEN}
                scale["max_color"] = GREEN if better else PALE
                sheet.conditional_format(start + 1, place, end, place, scale)

    def format(self, kind: str, *, number: str = "", **look: bool) -> Format:
        """A cell format, made once."""
        key = (kind, number, *(name for name, on in sorted(look.items()) if on))
        if key not in self._formats:
            style: dict[str, Any] = {"valign": "vcenter", "font_name": "Calibri", "font_size": 11} | KINDS[kind]
            style |= {"num_format": number} if number else {}
            style |= {"bold": True} if look.get("bold") else {}
            style |= {"font_color": "#7A8594", "italic": True} if look.get("gray") else {}
            style |= {"font_color": BAD} if look.get("bad") else {}
            style |= {"top": 2, "top_color": LINE} if look.get("first") else {}
            style |= {"text_wrap": True} if look.get("wrap") else {}
            style |= {"text_wrap": False, "valign": "vcenter"} if look.get("oneline") else {}
            style |= {"align": "center"} if look.get("center") else {}
            style |= {"indent": 1} if look.get("indent") else {}
            self._formats[key] = self.book.add_format(style)
        return self._formats[key]


def _starts(frame: pd.DataFrame, compared: Sequence[str]) -> list[int]:
    """Row numbers at which the values in ``compared`` change."""
    if not len(frame) or not compared:
        return [0]
    named = frame[list(compared)].astype(str).agg("\0".join, axis=1)
    return [i for i in range(len(frame)) if i == 0 or named.iloc[i] != named.iloc[i - 1]]


def _lines(line: pd.Series, columns: Sequence[str]) -> int:
    """How many lines of text the tallest wrapped cell of a row takes: no program works this out on opening."""
    texts = [(str(line[name]), column(name).width) for name in WRAPPED if name in columns]
    return max((math.ceil(len(text) / width) for text, width in texts), default=1) or 1


def write(sheet: Worksheet, row: int, place: int, value: Any, look: Format) -> None:
    """Write a number as a number, a text as a text (never a formula), nothing as a blank cell."""
    if isinstance(value, str) and value:
        sheet.write_string(row, place, value[:MAX_TEXT], look)
    elif isinstance(value, bool):
        sheet.write_string(row, place, "yes" if value else "no", look)
    elif isinstance(value, str) or value is None or pd.isna(value) or not math.isfinite(value):
        sheet.write_blank(row, place, None, look)
    else:
        sheet.write_number(row, place, float(value), look)


def write_link(sheet: Worksheet, row: int, place: int, file: str, text: str, look: Format) -> None:
    """Write a text that opens a file, named as seen from the workbook; a text alone where the name is too long."""
    address = f"external:{file.removeprefix('./')}"
    if len(address) > MAX_ADDRESS or sheet.write_url(row, place, address, look, text[:MAX_TEXT]) < 0:
        sheet.write_string(row, place, text[:MAX_TEXT], look)
