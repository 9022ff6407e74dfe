"""leaderboard.xlsx: the frames as sheets for a person with a spreadsheet program."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from benchmark.metrics.columns import (
    BY_CATEGORY,
    FAILURES,
    LEADERBOARD,
    column,
    compares,
    heading_lines,
    is_shown,
    shown_dataset,
)
from benchmark.report.xlsx_chart import write_charts
from benchmark.tables.augmentation_frames import AUGMENTATION
from benchmark.tables.gallery import GalleryImage
from benchmark.tables.leaderboard import Frames
from benchmark.tables.refinement_frames import REFINEMENT, ROUNDS

INK, PALE, GREEN, LINE = "#1F2A37", "#FFFFFF", "#8CCB9B", "#B8C0CC"
PRINTED_UP_TO = "peak_memory_bytes"
WRAPPED = ("settings", "status", "message", "latency_note")
MAX_TEXT = 32_000  # a cell holds 32,767 characters
OPTIONS = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}


def write_xlsx(tables: Frames, path: Path) -> None:
    """Write the sheets; of those below the ones that have something to show.

    Leaderboard, By category, Chart, Refinement and Rounds (if training images were refined), Augmentation (if any
    were augmented), Backbones (if several were used or any was probed), Gallery, Runs, Failures, About. A gallery is
    there if images were drawn. Numbers are numbers with a format, blanks stay blank, texts are never formulas.
    Colors compare within one data set (and category): the greener the better.
    """
    with xlsxwriter.Workbook(str(path), OPTIONS) as book:
        book.set_size(2400, 1400)
        sheets = Sheets(book)
        sheets.add("Leaderboard", tables.leaderboard, LEADERBOARD, frozen=3, compared=("dataset",))
        sheets.add("By category", tables.by_category, BY_CATEGORY, frozen=2, compared=("dataset", "category"))
        write_charts(book, tables.leaderboard)
        if len(tables.refinement):
            compared = ("dataset", "category", "contamination_ratio", "repeats", "detector")
            sheets.add("Refinement", tables.refinement, REFINEMENT, frozen=6, compared=compared)
            sheets.add("Rounds", tables.rounds, ROUNDS, frozen=7)
        if len(tables.augmentation):
            alike = ("dataset", "category", "detector")
            sheets.add("Augmentation", tables.augmentation, AUGMENTATION, frozen=5, compared=alike)
        if len(tables.backbones):
            columns = tuple(tables.backbones.columns)
            sheets.add("Backbones", tables.backbones, columns, frozen=3, compared=(), pages=3)
        if tables.gallery:
            sheets.add_gallery(tables.gallery)
        sheets.add("Runs", tables.runs, tuple(tables.runs.columns))
        sheets.add("Failures", tables.failures, FAILURES)
        sheets.add_about(tables.about)


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
    ) -> None:
        """Add a table.

        Args:
            name: Of the sheet.
            frame: What to show.
            columns: Which of its columns, in this order.
            frozen: How many columns stay in view, beside the heading.
            compared: Columns whose equal values mark rows that are colored together; () for all rows, None for none.
            pages: On paper, side by side at most, each with the frozen columns.
        """
        sheet = self.book.add_worksheet(name)
        if frame.empty:
            sheet.write_string(1, 0, "Nothing to list.", self._format("cell", gray=True))
        self._head(sheet, frame, columns)
        starts = _starts(frame, compared or ())
        for row, (_, line) in enumerate(frame.iterrows(), start=1):
            rank = line["rank"] if "rank" in columns else 0  # the best row of a data set is bold, one without rank gray
            look = {"bold": bool(pd.notna(rank) and rank == 1), "gray": bool(pd.isna(rank))}
            look["first"] = row - 1 in starts and row > 1
            sheet.set_row_pixels(row, 20 * _lines(line, columns))
            for place, entry in enumerate(columns):
                self._cell(sheet, row, place, entry, line, look)
        if compared is not None:
            self._color(sheet, frame, columns, [*starts, len(frame)])
        sheet.freeze_panes(1, frozen)
        sheet.autofilter(0, 0, max(len(frame), 1), len(columns) - 1)
        self._print_setup(sheet, len(frame), columns)
        if pages > 1:
            sheet.fit_to_pages(min(pages, 1 + len(columns) // 16), 0)
            sheet.repeat_columns(0, frozen - 1)

    def add_gallery(self, images: Sequence[GalleryImage]) -> None:
        """Add panels, one a row, with what was true and what was decided."""
        sheet = self.book.add_worksheet("Gallery")
        headings = ("Data set", "Category", "Rank", "Detector", "Decided", "Truth", "Called", "Score", "Threshold",
                    "Image, heat map, mask", "File")  # fmt: skip
        widths = (18, 12, 6, 26, 9, 11, 11, 9, 10, 64, 36)
        for place, (heading, width) in enumerate(zip(headings, widths, strict=True)):
            sheet.set_column(place, place, width)
            sheet.write_string(0, place, heading, self._format("head"))
        for row, p in enumerate(images, start=1):
            values = (p.dataset, p.category, p.rank, p.detector, p.kind, p.truth, p.called, p.score, p.threshold, None,
                      p.image)  # fmt: skip
            wrong = bool(p.called) and p.called != p.truth
            for place, value in enumerate(values):
                look = {"bad": wrong and place == headings.index("Called")}
                number = "0.000" if isinstance(value, float) else ""
                _write(sheet, row, place, value, self._format("cell", number=number, wrap=True, **look))
            scale = min(440 / p.size[0], 145 / p.size[1])
            sheet.set_row_pixels(row, 152)
            sheet.insert_image(
                row,
                headings.index("Image, heat map, mask"),
                "panel.jpg",
                {"image_data": io.BytesIO(p.jpeg), "x_scale": scale, "y_scale": scale, "x_offset": 4, "y_offset": 3,
                 "object_position": 1, "description": f"{p.kind}: {p.truth}, {p.image}"},
            )  # fmt: skip
        sheet.freeze_panes(1, 0)
        sheet.autofilter(0, 0, len(images), len(headings) - 1)
        self._print_setup(sheet, len(images), headings)

    def add_about(self, about: pd.DataFrame) -> None:
        """Add the rows of section, name, value."""
        sheet = self.book.add_worksheet("About")
        for place, (heading, width) in enumerate((("Section", 14), ("Name", 26), ("", 120))):
            sheet.set_column(place, place, width)
            sheet.write_string(0, place, heading, self._format("head"))
        last = None
        for row, line in enumerate(about.to_dict("records"), start=1):
            look = {"bad": line["section"] == "Warnings", "first": line["section"] != last and row > 1}
            section = line["section"] if line["section"] != last else ""
            _write(sheet, row, 0, section, self._format("cell", bold=True, **look))
            _write(sheet, row, 1, line["name"], self._format("cell", wrap=True, **look))
            _write(sheet, row, 2, line["value"], self._format("cell", wrap=True, **look))
            sheet.set_row_pixels(row, 20 * math.ceil(len(str(line["value"])) / 112 or 1))
            last = line["section"]
        sheet.freeze_panes(1, 0)
        sheet.set_landscape()
        sheet.fit_to_pages(1, 0)

    def _head(self, sheet: Worksheet, frame: pd.DataFrame, columns: Sequence[str]) -> None:
        sheet.set_row_pixels(0, 4 + 20 * max(map(heading_lines, columns)))
        for place, name in enumerate(columns):
            entry = column(name)
            hidden = name in frame.columns and not is_shown(name, frame[name])
            sheet.set_column(place, place, entry.width, None, {"hidden": hidden})
            sheet.write_string(0, place, entry.heading, self._format("head"))
            if entry.note:
                sheet.write_comment(0, place, entry.note, {"x_scale": 2.2, "y_scale": 1.2})

    def _print_setup(self, sheet: Worksheet, n_rows: int, columns: Sequence[str]) -> None:
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
        _write(sheet, row, place, value, self._format("cell", number=entry.format, **look))

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

    def _format(self, kind: str, *, number: str = "", **look: bool) -> Format:
        """A cell format, made once."""
        key = (kind, number, *(name for name, on in sorted(look.items()) if on))
        if key not in self._formats:
            style: dict[str, Any] = {"valign": "vcenter", "font_name": "Calibri", "font_size": 11}
            if kind == "head":
                style |= {"bold": True, "font_color": "#FFFFFF", "bg_color": INK, "text_wrap": True, "border": 1,
                          "border_color": LINE}  # fmt: skip
            style |= {"num_format": number} if number else {}
            style |= {"bold": True} if look.get("bold") else {}
            style |= {"font_color": "#7A8594", "italic": True} if look.get("gray") else {}
            style |= {"font_color": "#B42318"} if look.get("bad") else {}
            style |= {"top": 2, "top_color": LINE} if look.get("first") else {}
            style |= {"text_wrap": True} if look.get("wrap") else {}
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


def _write(sheet: Worksheet, row: int, place: int, value: Any, look: Format) -> None:
    """Write a number as a number, a text as a text (never a formula), nothing as a blank cell."""
    if isinstance(value, str) and value:
        sheet.write_string(row, place, value[:MAX_TEXT], look)
    elif isinstance(value, bool):
        sheet.write_string(row, place, "yes" if value else "no", look)
    elif isinstance(value, str) or value is None or pd.isna(value) or not math.isfinite(value):
        sheet.write_blank(row, place, None, look)
    else:
        sheet.write_number(row, place, float(value), look)
