"""Accuracy against latency: which points a chart shows."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from benchmark.metrics.columns import shown_dataset


@dataclass(frozen=True)
class Point:
    """One row of the leaderboard in a chart.

    Attributes:
        latency_ms: Lower is better.
        auroc: Image AUROC, higher is better.
        label: What tells it from the other points of its model.
    """

    latency_ms: float
    auroc: float
    label: str


def scatter_points(leaderboard: pd.DataFrame) -> dict[str, dict[str, list[Point]]]:
    """Points by data set and model, the fastest first; rows that lack either number are left out."""
    charts: dict[str, dict[str, list[Point]]] = {}
    complete = leaderboard.dropna(subset=["latency_ms", "image_AUROC"]).sort_values(["dataset", "model", "latency_ms"])
    for line in complete.to_dict("records"):
        dataset = shown_dataset(line["dataset"], synthetic=bool(line["synthetic"]))
        label = ", ".join(str(part) for part in (line["backbone"], line["settings"]) if isinstance(part, str) and part)
        point = Point(float(line["latency_ms"]), float(line["image_AUROC"]), label)
        charts.setdefault(dataset, {}).setdefault(str(line["model"]), []).append(point)
    return charts
