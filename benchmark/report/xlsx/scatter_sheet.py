"""The Chart sheet: image AUROC against latency, one chart a data set, one series a model."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import xlsxwriter
from xlsxwriter.worksheet import Worksheet

from benchmark.report.scatter import Point, front_steps, scatter_points

SHEET = "Chart"
COLORS = ("#1F77B4", "#D55E00", "#2CA02C", "#9467BD", "#8C564B", "#E377C2", "#7F7F7F", "#BCBD22", "#17BECF")
MARKERS = ("circle", "square", "triangle", "diamond")
HEADINGS = ("Data set", "Model", "Point", "Latency (ms)", "Image AUROC", "Pareto front")
FRONT = "Pareto front"
TABLE = 13  # first column of the numbers behind the charts
HEIGHT = 24  # rows a chart takes
MAX_LABELS = 16


def write_charts(book: xlsxwriter.Workbook, leaderboard: pd.DataFrame) -> None:
    """Add a sheet with a scatter chart for each data set and, beside, the numbers behind them."""
    charts = scatter_points(leaderboard)
    if not charts:
        return
    sheet = book.add_worksheet(SHEET)
    head = book.add_format({"bold": True, "bottom": 1})
    for place, (heading, width) in enumerate(zip(HEADINGS, (22, 14, 40, 13, 13, 13), strict=True)):
        sheet.write_string(0, TABLE + place, heading, head)
        sheet.set_column(TABLE + place, TABLE + place, width)
    row = 1
    models = sorted({model for series in charts.values() for model in series})
    for number, (dataset, series) in enumerate(charts.items()):
        chart = book.add_chart({"type": "scatter"})
        labelled = sum(len(points) for points in series.values()) <= MAX_LABELS
        for model, points in series.items():
            _write_points(book, sheet, row, dataset, model, points)
            look = models.index(model)
            chart.add_series(_series(model, points, row, look, labelled=labelled))
            row += len(points)
        if steps := front_steps(series):
            corners = [Point(latency, auroc, "corner of the staircase") for latency, auroc in steps]
            _write_points(book, sheet, row, dataset, FRONT, corners)
            chart.add_series(_front(row, len(corners)))
            row += len(corners)
        _set_axes(chart, dataset, [point for points in series.values() for point in points])
        sheet.insert_chart(number * HEIGHT, 0, chart)
    sheet.set_landscape()
    sheet.fit_to_pages(1, 0)


def _write_points(
    book: xlsxwriter.Workbook, sheet: Worksheet, row: int, dataset: str, model: str, points: list[Point]
) -> None:
    formats = [book.add_format({"num_format": number}) for number in ("#,##0.0", "0.000")]
    for place, point in enumerate(points, start=row):
        for column, text in enumerate((dataset, model, point.label)):
            sheet.write_string(place, TABLE + column, text)
        sheet.write_number(place, TABLE + 3, point.latency_ms, formats[0])
        sheet.write_number(place, TABLE + 4, point.auroc, formats[1])
        sheet.write_string(place, TABLE + 5, "yes" if point.on_front else "")


def _series(model: str, points: list[Point], row: int, look: int, *, labelled: bool) -> dict:
    last = row + len(points) - 1
    color = COLORS[look % len(COLORS)]
    series = {
        "name": [SHEET, row, TABLE + 1],
        "categories": [SHEET, row, TABLE + 3, last, TABLE + 3],
        "values": [SHEET, row, TABLE + 4, last, TABLE + 4],
        "marker": {
            "type": MARKERS[look % len(MARKERS)],
            "size": 9,
            "fill": {"color": color},
            "border": {"color": "white"},
        },
    }
    if labelled:
        custom = [
            {"value": point.label.split(",")[0] or model, "font": {"size": 8, "color": color}} for point in points
        ]
        series["data_labels"] = {"value": True, "position": "right", "custom": custom}
    return series


def _front(row: int, n_points: int) -> dict:
    """The best image AUROC that can be had in a time, as a staircase without markers."""
    last = row + n_points - 1
    return {
        "name": [SHEET, row, TABLE + 1],
        "categories": [SHEET, row, TABLE + 3, last, TABLE + 3],
        "values": [SHEET, row, TABLE + 4, last, TABLE + 4],
        "marker": {"type": "none"},
        "line": {"color": "#7A8594", "width": 1.25, "dash_type": "dash"},
    }


def _set_axes(chart: xlsxwriter.chart.Chart, dataset: str, points: list[Point]) -> None:
    lowest = min(point.auroc for point in points)
    fast, slow = min(p.latency_ms for p in points), max(p.latency_ms for p in points)
    chart.set_title({"name": f"{dataset}: up and left is better", "name_font": {"size": 13}, "overlay": False})
    x_axis: dict[str, Any] = {
        "name": "Latency (ms per image)",
        "major_gridlines": {"visible": True, "line": {"color": "#E3E6EA"}},
    }
    if fast > 0 and slow / fast > 20:
        x_axis |= {"log_base": 10, "min": 10 ** math.floor(math.log10(fast))}
    else:
        x_axis |= {"min": 0}
    chart.set_x_axis(x_axis | {"num_format": "0"})
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 1.0) if 1 - lowest <= 9 * step)
    low = max(0.0, math.floor((lowest - step / 3) / step) * step)
    chart.set_y_axis(
        {
            "name": "Image AUROC",
            "min": round(low, 2),
            "max": 1,
            "major_unit": step,
            "num_format": "0.00",
            "major_gridlines": {"visible": True, "line": {"color": "#E3E6EA"}},
        }
    )
    chart.set_legend({"position": "bottom"})
    chart.set_size({"width": 820, "height": 460})
