"""The first sheet: for each data set what to put on the line, how sure that is, and what to do next."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence

from xlsxwriter.format import Format

from benchmark.report.xlsx.curves import confusion
from benchmark.report.xlsx.decision_charts import CurveSheet
from benchmark.report.xlsx.sheets import Sheets
from benchmark.statistics.operating_point import Interval, OperatingPoint
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
            if number == 1:  # two fit the second page
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
            page.lines("", [point.note], "caption" if point.supported else "warning", per_line=190, pixels=18)
    note = (
        "Counted on test images that the threshold was not fitted on. In brackets the 95 % interval: what so few test "
        "images leave open."
    )
    page.lines("", [note], "caption", per_line=190, pixels=18)


def _told(point: OperatingPoint) -> tuple[str, ...]:
    """Its cells in the order of `WIDE_POINTS`."""
    return (
        point.requirement.told,
        f"{point.missed:.4g} of {point.n_defective:,}",
        of_thousand(point.missed, point.n_defective, point.missed_interval),
        f"{point.false_alarms:.4g} of {point.n_good:,}",
        of_thousand(point.false_alarms, point.n_good, point.false_alarm_interval),
        "" if point.unsure is None else f"{100 * point.unsure:.1f} %",
        "" if point.cost is None else f"{point.cost:,.4g}",
    )


def of_thousand(count: float, n: int, interval: Interval) -> str:
    """Such as `150 (86 to 235)`: of 1,000 parts, with the 95 % interval; empty of no images."""
    if not n:
        return ""
    low, high = (f"{1000 * share:.0f}" for share in interval)
    return f"{1000 * count / n:.0f} ({low} to {high})"


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
        page.row += 2
        page.across(image.image, page.sheets.format("caption"), first=first, width=third)
        page.row -= 2
    page.sheet.set_row_pixels(page.row + 1, 6 + round(max(_scale(image) * image.size[1] for image in images[:3])))
    page.row += 4


def _scale(image: GalleryImage) -> float:
    return min(IMAGE[0] / image.size[0], IMAGE[1] / image.size[1])


def _add_leading(page: _Page, row: LeadingRow) -> None:
    """A row's name, its confusion matrix at the exported threshold, and three charts beside it."""
    page.across(f"{row.label}  (place {row.place})", page.sheets.format("label"))
    page.row += 1
    sheet, third = page.sheet, (N_COLUMNS - 3) // 3
    for number, chart in enumerate(page.curves.charts(row)):
        chart.set_size({"width": third * COLUMN - 6, "height": TALL})
        sheet.insert_chart(page.row, 4 + number * third, chart, {"object_position": 2, "x_offset": 3, "y_offset": 2})
    if row.thresholds is not None:
        _add_confusion(page, row)
    page.row += math.ceil((TALL + 8) / 20)


def _add_confusion(page: _Page, row: LeadingRow) -> None:
    thresholds = row.thresholds
    if thresholds is None:
        return
    counts = confusion(row, thresholds)
    has_band = thresholds.upper > thresholds.lower
    names = ("good", "unsure", "defective") if has_band else ("good", "defective")
    head, cell = page.sheets.format("head", center=True), page.sheets.format("count")
    wrong, label = page.sheets.format("count", bad=True), page.sheets.format("boxed")
    sheet, at = page.sheet, page.row
    for place, text in enumerate(("Images", "are good", "are defective"), start=1):
        sheet.write_string(at, place, text, head)
    for line, name in enumerate(names, start=1):
        which = ("good", "unsure", "defective").index(name)
        sheet.write_string(at + line, 1, f"called {name}", label)
        sheet.write_number(at + line, 2, counts.good[which], wrong if name == "defective" else cell)
        sheet.write_number(at + line, 3, counts.defective[which], wrong if name == "good" else cell)
    cut = f"{thresholds.lower:.6g}" + (f" and {thresholds.upper:.6g}" if has_band else "")
    told = (
        f"At the exported threshold{'s' if has_band else ''} {cut} ({thresholds.source}), on all test images. Where it "
        "was fitted on these, other images do a little worse: the table at the top says how much."
    )
    sheet.merge_range(at + len(names) + 2, 1, at + len(names) + 7, 3, told, page.sheets.format("caption"))
