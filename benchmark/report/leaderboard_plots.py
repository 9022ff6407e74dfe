"""Plots of the leaderboard for a document: accuracy against latency."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmark.report.scatter import scatter_points

__all__ = ["plot_accuracy_latency"]


def plot_accuracy_latency(leaderboard: pd.DataFrame, path: Path) -> Path:
    """Draw image AUROC against latency, one panel a data set, one color a model; up and left is better.

    Args:
        leaderboard: :attr:`benchmark.tables.leaderboard.Frames.leaderboard`.
        path: PNG or SVG to write.

    Raises:
        ValueError: No row has both numbers.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    charts = scatter_points(leaderboard)
    if not charts:
        msg = "No row of the leaderboard has both an image AUROC and a latency, so there is nothing to plot."
        raise ValueError(msg)
    figure = Figure(figsize=(5.2 * len(charts), 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    models = sorted({model for series in charts.values() for model in series})
    for axes, (dataset, series) in zip(figure.subplots(1, len(charts), squeeze=False)[0], charts.items(), strict=True):
        for model, points in series.items():
            color = f"C{models.index(model)}"
            axes.scatter([p.latency_ms for p in points], [p.auroc for p in points], label=model, color=color)
            for p in points:
                name = p.label.split(",")[0]
                axes.annotate(name, (p.latency_ms, p.auroc), (5, 3), textcoords="offset points", fontsize=7)
        axes.set(title=dataset, xlabel="latency (ms per image)", ylabel="image AUROC")
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=150)
    return path
