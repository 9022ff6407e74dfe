"""The first sheet: for each data set what to put on the line, how sure that is, and what to do next."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence

from xlsxwriter.format import Format

from benchmark.report.decision_view import Confusion, confusion, point_texts
from benchmark.report.xlsx.decision_charts import CurveSheet
from benchmark.report.xlsx.sheets import Sheets, write_link
from benchmark.statistics.operating_point import OperatingPoint
from benchmark.tables.decision import Decision, LeadingRow
from benchmark.tables.gallery import GalleryImage

SHEET = "Decision"
N_COLUMNS, COLUMN = 12, 102  # px; together they fit a screen of 1,366 px and, made smaller, a page
TALL = 270  # px of a chart
IMAGE = (396, 220)  # px of an example
_COUNTED = ("Requirement", "Defects missed", "Of 1,000 defects pass (95 %)", "False alarms",
            "Of 1,000 good parts are stopped (95 %)")  # fmt: skip
POINTS = dict(zip(_COUNTED, (4, 2, 2, 2, 2), strict=True))
"""Headings of the table of operating points and how many columns each takes."""
WIDE_POINTS = dict(zip((*_COUNTED, "Unsure", "Cost of 1,000 parts"), (3, 1, 2, 1, 2, 1, 2), strict=True))
"""The same where a point has unsure parts or a cost."""


def add_decisions(sheets: Sheets, decisions: Sequence[Decision], *, links: str) -> CurveSheet:
    """Add the sheet; return the one that its charts draw from, to be written when all others are there."""
    page = _Page(sheets)
    breaks = []
    for decision in decisions:
        breaks.append(page.row)
        _add_answer(page, decision)
        _add_examples(page, decision.examples, links)
        for number, row in enumerate(decision.leading):
            if (
                number == (0 if decision.examples else 1) or number == 2
            ):  # printed, one row fits below what has no images
                breaks.append(page.row)
            _add_leading(page, row)
        page.row += 1
    page.sheet.set_h_pagebreaks(breaks[1:])
    return page.curves


class _Page:
    """The sheet and the next free row."""

    def __init__(self, sheets: Sheets) -> None:
        self.sheets = sheets
        self.sheet = sheets.book.add_worksheet(SHEET)
        self.curves = CurveSheet(sheets)
        self.row = 0
        self.sheet.hide_gridlines(2)
        self.sheet.set_column_pixels(0, 0, 12)
        self.sheet.set_column_pixels(1, N_COLUMNS, COLUMN)
        self.sheet.set_landscape()
        self.sheet.set_paper(9)  # A4
        self.sheet.set_margins(left=0.4, right=0.4, top=0.5, bottom=0.5)
        self.sheet.fit_to_pages(1, 0)  # a fixed scale would cut columns off where Calibri is missing

    def across(self, text: str, look: Format, *, first: int = 1, width: int = N_COLUMNS) -> None:
        """Write a text over some columns of the next row."""
        text = text[:32_000]
        if width == 1:
            self.sheet.write_string(self.row, first, text, look)
        else:
            self.sheet.merge_range(self.row, first, self.row, first + width - 1, "", look)
            self.sheet.write_string(self.row, first, text, look)

    def lines(self, heading: str, texts: Sequence[str], kind: str, *, per_line: int, pixels: int = 20) -> None:
        """Write a heading and a row for each text, as high as it needs; nothing where there are no texts."""
        if texts and heading:
            self.row += 1
            self.across(heading, self.sheets.format("label"))
            self.row += 1
        for text in texts:
            self.across(text, self.sheets.format(kind))
            self.sheet.set_row_pixels(self.row, pixels * math.ceil(len(text) / per_line or 1))
            self.row += 1


def _add_answer(page: _Page, decision: Decision) -> None:
    page.across(decision.dataset, page.sheets.format("title"))
    page.sheet.set_row_pixels(page.row, 32)
    page.row += 1
    page.lines("", decision.recommendation, "lead", per_line=140, pixels=24)
    page.row += 1
    if decision.points:
        _add_points(page, decision.points)
    page.lines("How sure", decision.how_sure, "text", per_line=175)
    page.lines("What would make it surer", decision.next_steps, "text", per_line=175)
    if decision.command:
        page.row += 1
        page.across("Next: export the recommended model (copy the line into a terminal)", page.sheets.format("label"))
        page.row += 1
        page.across(decision.command, page.sheets.format("code"))
        page.sheet.set_row_pixels(page.row, 24)
        page.row += 2


def _add_points(page: _Page, points: Sequence[OperatingPoint]) -> None:
    is_wide = any(point.unsure is not None or point.cost is not None for point in points)
    widths = WIDE_POINTS if is_wide else POINTS
    _add_cells(page, list(widths), ["head"] * len(widths), widths)
    page.sheet.set_row_pixels(page.row, 40)
    page.row += 1
    for point in points:
        cells = _told(point)[: len(widths)]
        _add_cells(page, cells, ["boxed", *["count"] * (len(cells) - 1)], widths)
        page.sheet.set_row_pixels(page.row, 20 * math.ceil(len(cells[0]) / 40) + 8)
        page.row += 1
        if point.note:
            note = f"{point.note[0].upper()}{point.note[1:].rstrip('.')}."
            page.lines("", [note], "caption" if point.supported else "warning", per_line=190, pixels=18)
    note = (
        "Counted on test images that the threshold was not fitted on. In brackets the 95 % interval: what so few test "
        "images leave open."
    )
    page.lines("", [note], "caption", per_line=190, pixels=18)


def _told(point: OperatingPoint) -> tuple[str, ...]:
    """Its cells in the order of `WIDE_POINTS`."""
    texts = point_texts(point)
    rates = []
    for rate, interval in ((texts.missed, point.missed_interval), (texts.false_alarms, point.false_alarm_interval)):
        low, high = (round(1000 * share) for share in interval)
        rates += [rate.count, f"{rate.per_1000} ({low} to {high})" if rate.per_1000 else ""]
    return (texts.requirement, *rates, texts.unsure, texts.cost)


def _add_cells(page: _Page, texts: Sequence[str], kinds: Sequence[str], widths: Mapping[str, int]) -> None:
    at = 1
    for text, kind, width in zip(texts, kinds, widths.values(), strict=True):
        page.across(text, page.sheets.format(kind, center=kind == "head"), first=at, width=width)
        at += width


def _add_examples(page: _Page, images: Sequence[GalleryImage], links: str) -> None:
    if not images:
        return
    page.across("Images to look at", page.sheets.format("label"))
    page.row += 1
    third = N_COLUMNS // 3
    for number, image in enumerate(images[:3]):
        cut = "" if image.threshold is None else f", threshold {image.threshold:.4g}"
        told = f"{image.kind}: {image.truth}, score {image.score:.4g}{cut}"
        first = 1 + number * third
        page.across(told, page.sheets.format("text"), first=first, width=third)
        scale = _scale(image)
        page.sheet.insert_image(
            page.row + 1,
            first,
            "panel.jpg",
            {"image_data": io.BytesIO(image.jpeg), "x_scale": scale, "y_scale": scale, "x_offset": 2, "y_offset": 3,
             "object_position": 1, "description": told},
        )  # fmt: skip
        look = page.sheets.format("link" if image.file else "caption")
        page.sheet.merge_range(page.row + 2, first, page.row + 2, first + third - 1, image.image, look)
        if image.file:
            write_link(page.sheet, page.row + 2, first, f"{links}/{image.file}", image.image, look)
    page.sheet.set_row_pixels(page.row + 1, 6 + round(max(_scale(image) * image.size[1] for image in images[:3])))
    page.row += 4


def _scale(image: GalleryImage) -> float:
    return min(IMAGE[0] / image.size[0], IMAGE[1] / image.size[1])


def _add_leading(page: _Page, row: LeadingRow) -> None:
    """A row's name, its confusion matrix and charts beside it."""
    page.across(f"{row.label}  (place {row.place})", page.sheets.format("label"))
    page.row += 1
    sheet, third = page.sheet, (N_COLUMNS - 3) // 3
    for number, chart in enumerate(page.curves.charts(row)):
        chart.set_size({"width": third * COLUMN - 6, "height": TALL})
        sheet.insert_chart(page.row, 4 + number * third, chart, {"object_position": 2, "x_offset": 3, "y_offset": 2})
    found = confusion(row)
    if found is not None:
        _add_confusion(page, found)
    page.row += math.ceil((TALL + 8) / 20)


def _add_confusion(page: _Page, found: Confusion) -> None:
    sheet, at, head = page.sheet, page.row, page.sheets.format("head", center=True)
    for line, text in enumerate(("Images", *found.columns)):
        sheet.write_string(at + line, 1, text, head)
    sheet.set_row_pixels(at, 24)
    for place, (name, counts) in enumerate(found.rows, start=2):
        sheet.write_string(at, place, f"are {name}", head)
        for line, (text, called) in enumerate(zip(counts, found.columns, strict=True), start=1):
            is_wrong = called != "unsure" and called != f"called {name}"
            sheet.write_string(
                at + line, place, text, page.sheets.format("boxed", bad=is_wrong, center=True, bold=True)
            )
    first = at + len(found.columns) + 2
    sheet.merge_range(first, 1, first + 5, 3, found.note, page.sheets.format("caption"))
