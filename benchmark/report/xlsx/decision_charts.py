"""Charts of a leading row: scores with the thresholds, ROC, precision and recall; their numbers on a hidden sheet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from xlsxwriter.chart import Chart

from benchmark.report.xlsx.curves import Line, histogram, precision_recall, rates, roc
from benchmark.report.xlsx.sheets import Sheets
from benchmark.tables.decision import LeadingRow

SHEET = "Curves"
_SCORES = "Scores"
GOOD, DEFECTIVE, MARK, GRID = "#2B6CB0", "#C05621", "#1F2A37", "#E3E6EA"


class CurveSheet:
    """The hidden sheet, two columns a curve, headed by its name; it comes last, when all curves are known."""

    def __init__(self, sheets: Sheets) -> None:
        self.sheets = sheets
        self._curves: list[tuple[str, Line]] = []

    def write(self) -> None:
        """Add the sheet, where there is a curve."""
        if not self._curves:
            return
        sheet = self.sheets.book.add_worksheet(SHEET)
        sheet.hide()
        for number, (name, line) in enumerate(self._curves):
            sheet.write_string(0, 2 * number, name)
            for place, values in enumerate(line, start=2 * number):
                sheet.write_column(1, place, [float(value) for value in values])

    def series(self, name: str, line: Line, look: dict[str, Any]) -> dict[str, Any]:
        """A series of a scatter chart that draws the points of a curve."""
        at, n = 2 * len(self._curves), len(line[0])
        self._curves.append((name, line))
        return {
            "name": [SHEET, 0, at],
            "categories": [SHEET, 1, at, n, at],
            "values": [SHEET, 1, at + 1, n, at + 1],
            "marker": {"type": "none"},
        } | look

    def charts(self, row: LeadingRow) -> list[Chart]:
        """Scores, ROC, precision and recall; the thresholds are marked in each. Of one kind of images only scores."""
        if row.scores["label"].nunique() < 2:
            return [self._scores(row)]
        return [self._scores(row), self._roc(row), self._precision_recall(row)]

    def _scores(self, row: LeadingRow) -> Chart:
        lines = histogram(row)
        series = [
            self.series(f"{name} images", line, {"line": {"color": color, "width": 1.75}})
            for name, line, color in zip(("good", "defective"), lines, (GOOD, DEFECTIVE), strict=True)
        ]
        top = 1.05 * max(line[1].max() for line in lines)
        found = row.thresholds
        cuts = {} if found is None else {found.lower: "exported threshold"}
        if found is not None and found.upper > found.lower:
            cuts = {found.lower: "lower threshold", found.upper: "upper threshold"}
        dash = {"line": {"color": MARK, "width": 1.5, "dash_type": "dash"}}
        series += [self.series(name, (np.array([cut, cut]), np.array([0, top])), dash) for cut, name in cuts.items()]
        x = lines[0][0]
        axis = {"name": "Score", "min": float(x[0]), "max": float(x[-1]), "num_format": _digits(float(x[-1] - x[0]))}
        return self._chart(_SCORES, series, axis, {"name": "Share of the images", "min": 0, "num_format": "0%"})

    def _roc(self, row: LeadingRow) -> Chart:
        series = [self.series("ROC", roc(row), {"line": {"color": GOOD, "width": 1.75}})]
        series += self._points([(one.false_alarms, one.recall) for one in rates(row)])
        return self._chart(_marked("ROC", series), series, _share("False alarms"), _share("Defects found"))

    def _precision_recall(self, row: LeadingRow) -> Chart:
        series = [self.series("precision", precision_recall(row), {"line": {"color": GOOD, "width": 1.75}})]
        series += self._points([(one.recall, one.precision) for one in rates(row) if one.precision is not None])
        x, y = _share("Recall: defects found"), _share("Precision")
        return self._chart(_marked("Precision-recall", series), series, x, y)

    def _points(self, points: Sequence[tuple[float, float]]) -> list[dict[str, Any]]:
        if not points:
            return []
        x, y = np.array(points).T
        marker = {"type": "diamond", "size": 9, "fill": {"color": MARK}, "border": {"color": "white"}}
        return [self.series("at the threshold", (x, y), {"line": {"none": True}, "marker": marker})]

    def _chart(self, title: str, series: list[dict[str, Any]], x: dict[str, Any], y: dict[str, Any]) -> Chart:
        chart = self.sheets.book.add_chart({"type": "scatter", "subtype": "straight"})
        for one in series:
            chart.add_series(one)
        lines = {"major_gridlines": {"visible": True, "line": {"color": GRID}}, "name_font": {"size": 9, "bold": False}}
        chart.set_title({"name": title, "name_font": {"size": 10}, "overlay": False})
        chart.set_x_axis(x | lines)
        chart.set_y_axis(y | lines)
        chart.set_legend({"position": "bottom", "font": {"size": 9}} if title == _SCORES else {"none": True})
        chart.show_hidden_data()
        return chart


def _marked(title: str, series: Sequence[dict[str, Any]]) -> str:
    return f"{title} (◆ exported threshold)" if len(series) > 1 else title


def _share(name: str) -> dict[str, Any]:
    return {"name": name, "min": 0, "max": 1, "major_unit": 0.25, "num_format": "0%"}


def _digits(span: float) -> str:
    """Number format with two digits of a span."""
    return "0" if span <= 0 or span >= 20 else f"0.{'0' * max(1, 1 - int(np.floor(np.log10(span))))}"
