"""Accuracy against latency: which points a chart shows, and the chart as inline SVG."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from benchmark.metrics.columns import shown_dataset
from benchmark.report.svg_plot import Axes, Line, Mark, Plot, round_ticks

WIDTH, HEIGHT = 640, 320  # px
N_COLORS = 8
MAX_NAMED = 12  # points; more would cover one another's names


@dataclass(frozen=True)
class Point:
    """One row of the leaderboard in a chart.

    Attributes:
        latency_ms: Lower is better.
        auroc: Image AUROC, higher is better.
        label: What tells it from the other points of its model.
        on_front: Whether no other point of the data set beats it, see `benchmark.tables.pareto`.
    """

    latency_ms: float
    auroc: float
    label: str
    on_front: bool = False


def scatter_points(leaderboard: pd.DataFrame) -> dict[str, dict[str, list[Point]]]:
    """Points by data set and model, the fastest first; rows that lack either number are left out."""
    charts: dict[str, dict[str, list[Point]]] = {}
    complete = leaderboard.dropna(subset=["latency_ms", "image_AUROC"]).sort_values(["dataset", "model", "latency_ms"])
    for line in complete.to_dict("records"):
        dataset = shown_dataset(line["dataset"], synthetic=bool(line["synthetic"]))
        label = ", ".join(str(part) for part in (line["backbone"], line["settings"]) if isinstance(part, str) and part)
        is_front = line.get("pareto") == "yes"
        point = Point(float(line["latency_ms"]), float(line["image_AUROC"]), label, is_front)
        charts.setdefault(dataset, {}).setdefault(str(line["model"]), []).append(point)
    return charts


def front_steps(series: dict[str, list[Point]]) -> list[tuple[float, float]]:
    """The Pareto front of a data set as a staircase: latency and the best image AUROC that can be had in that time.

    Empty where fewer than two points are on it.
    """
    front = sorted({(p.latency_ms, p.auroc) for points in series.values() for p in points if p.on_front})
    if len(front) < 2:
        return []
    steps = [front[0]]
    for latency, auroc in front[1:]:
        steps += [(latency, steps[-1][1]), (latency, auroc)]
    return steps


def scatter_plot(dataset: str, series: dict[str, list[Point]], colors: dict[str, int]) -> Plot:
    """The points of one data set; `colors` has a number of each model."""
    points = [point for found in series.values() for point in found]
    lowest = min(point.auroc for point in points)
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 1.0) if 1 - lowest <= 8 * step)
    bottom = max(0.0, math.floor((lowest - step / 3) / step) * step)
    slowest = max(point.latency_ms for point in points) * 1.1
    y_ticks = [bottom + i * step for i in range(round((1 - bottom) / step) + 1)]
    axes = Axes(width=WIDTH, height=HEIGHT, x_range=(0, slowest), y_range=(bottom, 1))
    steps = front_steps(series)
    front = [Line(points=axes.points(*zip(*steps, strict=True)), look="front", title="Pareto front")] if steps else []
    marks = []
    for model, found in series.items():
        for p in found:
            x, is_right = axes.x(p.latency_ms), axes.x(p.latency_ms) > WIDTH * 0.75
            title = f"{model}, {p.label}: image AUROC {p.auroc:.3f}, {p.latency_ms:.1f} ms"
            title += ", on the Pareto front" if p.on_front else ""
            name = p.label.split(",")[0] if len(points) <= MAX_NAMED else ""
            marks.append(Mark(x=x, y=axes.y(p.auroc), look=f"color{colors[model] % N_COLORS}", title=title, name=name,
                              anchor="end" if is_right else "start"))  # fmt: skip
    return Plot(
        alt=f"Image AUROC against latency on {dataset}", size=(WIDTH, HEIGHT), frame=axes.frame, marks=marks,
        lines=front,
        x_label="latency (ms per image)", y_label="image AUROC",
        x_ticks=[(axes.x(value), f"{value:g}") for value in round_ticks(0, slowest, n=9)],
        y_ticks=[(axes.y(value), f"{value:.2f}") for value in y_ticks],
    )  # fmt: skip
