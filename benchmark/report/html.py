"""leaderboard.html: the frames as one page that needs nothing beside it."""

from __future__ import annotations

import base64
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from benchmark.metrics.columns import (
    BY_CATEGORY,
    FAILURES,
    LEADERBOARD,
    Column,
    column,
    compares,
    is_shown,
    shown_dataset,
)
from benchmark.metrics.decision_columns import DIFFERENCES
from benchmark.report.decision_view import embedded, shown_decision
from benchmark.report.scatter import N_COLORS, scatter_plot, scatter_points
from benchmark.statistics.many_categories import OverallRanking
from benchmark.tables.augmentation_frames import AUGMENTATION, CHANGED
from benchmark.tables.export_commands import Export, exports
from benchmark.tables.leaderboard import Frames

TEMPLATES = Path(__file__).parent / "templates"
MAX_DIFFERENCES = 60  # rows; where there are more, the page has those of the first row of each data set
_DETAILS = (
    "checkpoint",
    "run_keys",
    "weights_sha256",
    "threshold_source",
    "latency_session",
    "fit_machine",
)  # too long for a page; they are in the CSV


def write_html(tables: Frames, path: Path, output: Path) -> None:
    """Write the page: the decision of each data set, sortable tables, charts, images, failures, how it was made.

    `output` is the folder of the records, for commands.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    charts = scatter_points(tables.leaderboard)
    colors = {model: i for i, model in enumerate(sorted({model for series in charts.values() for model in series}))}
    differences = _few(tables.differences)
    runs = exports(tables, output)
    page = environment.get_template("leaderboard.html").render(
        best=tables.about.loc[tables.about["section"] == "Result", ["name", "value"]].itertuples(index=False),
        best_runs={
            _shown(line): found
            for (_, line), found in reversed(list(zip(tables.leaderboard.iterrows(), runs, strict=True)))
            if line["rank"] is not pd.NA and line["rank"] == 1
        },
        warnings=tables.about.loc[tables.about["section"] == "Warnings", "value"].tolist(),
        datasets=list(dict.fromkeys(_shown(line) for _, line in tables.leaderboard.iterrows())),
        leaderboard=_table(tables.leaderboard, LEADERBOARD, compared=("dataset",), exports=runs),
        decisions=[shown_decision(one, is_first=i == 0) for i, one in enumerate(tables.decisions)],
        differences=_table(differences, [name for name in DIFFERENCES if name not in ("p", "method")])
        if len(differences)
        else None,
        n_differences=len(tables.differences),
        critical_difference=_critical_difference(tables.overall),
        by_category=_table(
            tables.by_category,
            [name for name in BY_CATEGORY if name in (*LEADERBOARD, "category")],
            compared=("dataset", "category"),
        ),
        failures=_table(tables.failures, FAILURES),
        charts=[
            (name, scatter_plot(name, series, colors), [(model, colors[model] % N_COLORS) for model in series])
            for name, series in charts.items()
        ],
        augmentation=_table(tables.augmentation, AUGMENTATION, compared=("dataset", "category", "detector"))
        if len(tables.augmentation)
        else None,
        augmentation_charts=_augmentation_charts(tables.augmentation),
        gallery=embedded(tables.gallery),
        about=[
            (section, list(rows[["name", "value"]].itertuples(index=False)))
            for section, rows in tables.about.groupby("section", sort=False)
            if section not in ("Result", "Warnings")
        ],
        style=(TEMPLATES / "leaderboard.css").read_text(encoding="utf-8"),
        script=(TEMPLATES / "leaderboard.js").read_text(encoding="utf-8"),
    )
    path.write_text(page, encoding="utf-8")


@dataclass(frozen=True)
class Cell:
    """One cell: what is read, what is sorted by, and how good it is (0 to 1) among the rows it compares with."""

    text: str
    key: str
    shade: float | None = None


def _few(differences: pd.DataFrame) -> pd.DataFrame:
    """All of them, or those that a page has room for: of image AUROC with the first row of each data set."""
    if len(differences) <= MAX_DIFFERENCES:
        return differences
    chosen = differences[differences["metric"] == "image_AUROC"]
    first = chosen.groupby("dataset")["first"].transform("first")
    return chosen[chosen["first"] == first]


def format_number(value: float, number_format: str) -> str:
    """A number as the spreadsheet would show it, for the few formats that the columns use."""
    if "MB" in number_format:
        power, unit = next((p, u) for p, u in ((9, "GB"), (6, "MB"), (3, "kB")) if value >= 10**p or p == 3)
        return f"{value / 10**power:.{2 if power == 9 else 1}f} {unit}"
    if "E" in number_format:
        return f"{value:.1e}"
    if "#" in number_format and not number_format.startswith("#"):
        return f"{value:.4g}"
    if ";" in number_format:  # with its sign
        return f"{value:+.{len(number_format.split(';')[0].partition('.')[2])}f}"
    decimals = len(number_format.rstrip("%").partition(".")[2])
    if number_format.endswith("%"):
        return f"{value:.{decimals}%}"
    return f"{value:,.{decimals}f}" if "," in number_format else f"{value:.{decimals}f}"


def _table(
    frame: pd.DataFrame,
    names: Sequence[str],
    *,
    compared: Sequence[str] = (),
    exports: Sequence[Sequence[Export]] = (),
) -> dict[str, Any]:
    """Columns and rows of one table; `exports` of each row where they are shown."""
    columns = [column(name) for name in names if name not in (*_DETAILS, "caution") and is_shown(name, frame[name])]
    shades = {entry.name: _shades(frame, entry, compared) for entry in columns}
    rows: list[dict[str, Any]] = []
    for i, (_, line) in enumerate(frame.iterrows()):
        cells = [_cell(line, entry, shades[entry.name][i]) for entry in columns]
        look = ""
        if "rank" in names or "rank_range" in names:
            look = "unranked" if pd.isna(line["rank"]) else "best" if line["rank"] == 1 else ""
        if rows and rows[-1]["dataset"] != _shown(line):
            look += " block"
        caution = line.get("caution")
        rows.append({
            "dataset": _shown(line),
            "look": look,
            "cells": cells,
            "caution": caution if isinstance(caution, str) else "",
            "exports": exports[i] if exports else (),
        })  # fmt: skip
    return {"columns": columns, "rows": rows}


def _cell(line: pd.Series, entry: Column, shade: float | None) -> Cell:
    value = line[entry.name]
    if entry.name == "dataset":
        return Cell(_shown(line), _shown(line))
    if value is None or pd.isna(value):
        return Cell("", "")
    if isinstance(value, float) and not entry.format:
        return Cell(f"{value:.4g}", repr(value))
    if isinstance(value, str) or not entry.format:
        return Cell(str(value), str(value))
    return Cell(format_number(float(value), entry.format), repr(float(value)), shade)


def _shades(frame: pd.DataFrame, entry: Column, compared: Sequence[str]) -> list[float | None]:
    """For each row how good its value is among those of its data set: 0 worst, 1 best; None where not compared."""
    blank: list[float | None] = [None] * len(frame)
    if not compared or entry.higher_is_better is None or entry.name == "pixel_binning_error" or frame.empty:
        return blank
    values = frame[entry.name].astype(float).round(9)
    groups = values.groupby([frame[name] for name in compared])
    low, high = groups.transform("min"), groups.transform("max")
    share = (values - low) / (high - low).where(high > low)
    for _, block in frame.groupby(list(compared), sort=False):
        if not compares(entry, block):
            share[block.index] = math.nan
    better = share if entry.higher_is_better else 1 - share
    return [None if math.isnan(value) else round(float(value), 3) for value in better]


def _shown(line: pd.Series) -> str:
    return shown_dataset(str(line["dataset"]), synthetic=bool(line.get("synthetic")))


def _augmentation_charts(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """The bar chart of each metric that augmentations changed: its name, and the image inline."""
    from benchmark.report.plots import plot_augmentation

    return [
        (metric.replace("_", " "), _inline(partial(plot_augmentation, frame, metric=metric)))
        for metric in CHANGED
        if len(frame) and frame[f"{metric}_change"].notna().any()
    ]


def _critical_difference(overall: OverallRanking | None) -> str:
    """The plot inline; empty where there is none."""
    if overall is None:
        return ""
    from benchmark.report.plots import plot_critical_difference

    return _inline(partial(plot_critical_difference, overall))


def _inline(draw: Callable[[Path], None]) -> str:
    """What `draw` writes into an SVG file, as the address of an image."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plot.svg"
        draw(path)
        return f"data:image/svg+xml;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
