"""Plots of augmentations for a document: by how much each changes a detector, with the spread over seeds."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

COLUMNS = 2  # panels side by side
BEYOND = {"better": "▲", "worse": "▼"}


def plot_augmentation(augmentation: pd.DataFrame, path: Path, *, metric: str = "image_AUROC") -> None:
    """Draw the mean change of a metric by each augmentation, one panel a data set and detector, one color a place.

    Bars of a standard deviation over seeds; a triangle marks a change that exceeds it.

    Args:
        augmentation: :attr:`benchmark.tables.leaderboard.Frames.augmentation`.
        path: PNG or SVG to write.
        metric: `image_AUROC` or `pixel_AUROC`.

    Raises:
        ValueError: No row has a change of the metric.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    known = augmentation.dropna(subset=[f"{metric}_change"])
    if known.empty:
        msg = f"No augmentation has a change of {metric}, so there is nothing to plot."
        raise ValueError(msg)
    groups = list(known.groupby(["dataset", "category", "detector"], sort=True))
    n_columns = min(COLUMNS, len(groups))
    n_rows = math.ceil(len(groups) / n_columns)
    widest = max(part["augmentation"].nunique() for _, part in groups)
    figure = Figure(figsize=(max(6.0, 1.1 * widest + 1.5) * n_columns, 3.8 * n_rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for unused in panels[len(groups) :]:
        unused.remove()
    series = list(dict.fromkeys(known.apply(_series, axis=1)))
    for axes, (named, part) in zip(panels, groups, strict=False):
        dataset, category, detector = map(str, named)
        names = list(dict.fromkeys(part["augmentation"]))
        for number, label in enumerate(series):
            rows = part[part.apply(_series, axis=1) == label]
            places = [names.index(name) + 0.8 * ((number + 0.5) / len(series) - 0.5) for name in rows["augmentation"]]
            change = rows[f"{metric}_change"].to_numpy()
            spread = rows[f"{metric}_change_std"].fillna(0).to_numpy()
            axes.bar(places, change, 0.8 / len(series), yerr=spread, capsize=2, color=f"C{number}", label=label)
            for place, value, error, beyond in zip(places, change, spread, rows[f"{metric}_beyond"], strict=True):
                if beyond in BEYOND:
                    is_up = value > 0
                    end = (place, value + error if is_up else value - error)
                    axes.annotate(BEYOND[beyond], end, (0, 2 if is_up else -2), textcoords="offset points",
                                  ha="center", va="bottom" if is_up else "top", fontsize=8)  # fmt: skip
        axes.axhline(0, color="0.3", lw=0.8)
        axes.set_title(" ".join(filter(None, [dataset, category])) + f"\n{detector}", fontsize=9)
        axes.set_ylabel(f"change of {metric.replace('_', ' ')}")
        axes.set_xticks(range(len(names)), names, rotation=20, ha="right", fontsize=8)
        axes.grid(axis="y", alpha=0.3)
        axes.margins(y=0.12)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(series), fontsize=8)
    figure.savefig(path, dpi=120)


def _series(row: pd.Series) -> str:
    """Where, with the views where there are several."""
    return row["where"] if pd.isna(row["n_views"]) else f"{row['where']}, {row['n_views']:.0f} views, {row['merge']}"
