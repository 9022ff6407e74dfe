"""Plots for a document: what finds the defects, what each round of a refinement and each augmentation is worth."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from benchmark.statistics.many_categories import OverallRanking

BEYOND = {"better": "▲", "worse": "▼"}
BASELINES = {"random": ("0.5", ":"), "oracle": ("black", "--")}


def plot_critical_difference(overall: OverallRanking, path: Path) -> None:
    """Draw the average ranks of detectors over categories; a bar joins those that cannot be told apart.

    Demsar 2006, https://www.jmlr.org/papers/v7/demsar06a.html.

    Args:
        overall: :attr:`benchmark.tables.frames.Frames.overall`.
        path: PNG or SVG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from scikit_posthocs import critical_difference_diagram

    names = list(overall.detectors)
    alike = pd.DataFrame(0.0, index=names, columns=names)
    for group in overall.groups:
        alike.loc[list(group), list(group)] = 1.0
    figure = Figure(figsize=(9, 1.5 + 0.25 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    critical_difference_diagram(dict(zip(names, overall.average_ranks, strict=True)), alike, ax=axes)
    limit = overall.critical_difference
    told = "" if limit is None else f"; critical difference {limit:.2f}"
    axes.set_title(f"Average rank by image AUROC over {overall.n_categories} categories, 1 is best{told}", fontsize=10)
    figure.savefig(path, dpi=150)


def plot_ranking(refinement: pd.DataFrame, path: Path) -> None:
    """Draw the score AUROC of every strategy, one panel a data set, one mark a condition, bars of a standard deviation.

    Args:
        refinement: :attr:`benchmark.tables.leaderboard.Frames.refinement`.
        path: PNG or SVG to write.

    Raises:
        ValueError: No row has a score AUROC.
    """
    known = refinement.dropna(subset=["score_auroc"])
    if known.empty:
        msg = "No refinement has a score AUROC (nothing was injected), so there is nothing to plot."
        raise ValueError(msg)
    # Realised ratios differ a little from data set to data set.
    known = known.assign(contamination_ratio=known["contamination_ratio"].astype(float).round(2))
    known = known.drop_duplicates(["dataset", "category", "contamination_ratio", "repeats", "strategy"])
    figure, panels = _figure(known, width=4.6)
    order = known.groupby("strategy")["score_auroc"].mean().sort_values().index.tolist()
    conditions = sorted(set(zip(known["repeats"].astype(int), known["contamination_ratio"], strict=True)))
    for axes, (title, part) in panels:
        for number, (repeats, ratio) in enumerate(conditions):
            rows = part[(part["contamination_ratio"] == ratio) & (part["repeats"] == repeats)]
            if rows.empty:
                continue
            places = [order.index(name) + 0.1 * (number - (len(conditions) - 1) / 2) for name in rows["strategy"]]
            label = f"{ratio:.0%} defects" + (f", {repeats} copies of each" if repeats > 1 else "")
            spread = rows["score_auroc_std"].fillna(0).astype(float)
            axes.errorbar(
                rows["score_auroc"].astype(float), places, xerr=spread, fmt="o", ms=4, color=f"C{number}", label=label
            )
        axes.set(title=title, xlabel="AUROC of the score: injected against good", xlim=(0, 1.02))
        axes.set_yticks(range(len(order)), order)
        axes.axvline(0.5, color="0.5", lw=0.8, ls=":")
        axes.grid(axis="x", alpha=0.3)
    entries = [entry for axes, _ in panels for entry in zip(*axes.get_legend_handles_labels(), strict=True)]
    labels = {label: handle for handle, label in entries}
    figure.legend(labels.values(), labels.keys(), fontsize=8, loc="outside lower center", ncols=min(3, len(panels)))
    figure.savefig(path, dpi=150)


def plot_rounds(rounds: pd.DataFrame, path: Path, *, metric: str = "image_AUROC") -> None:
    """Draw a metric of the retrained detector per round, one panel a data set and condition, one line a strategy.

    A line is the mean over seeds, its shade the range, a dot what was measured; a seed that had ended before counts
    with its last round. Round 0 is the detector of all images, whichever refinement trained it; it is also the
    line `no removal`.

    Args:
        rounds: :attr:`benchmark.tables.leaderboard.Frames.rounds`.
        path: PNG or SVG to write.
        metric: Column of the frame.

    Raises:
        ValueError: No round has the metric.
    """
    known = rounds.dropna(subset=[metric])
    if known.empty:
        msg = f"No round has {metric}, so there is nothing to plot."
        raise ValueError(msg)
    figure, panels = _figure(known, width=4.6, by=["dataset", "category", "_condition", "repeats", "detector"])
    for axes, (title, part) in panels:
        last = int(part["round"].max())
        untouched = part[part["round"] == 0].groupby("seed")[metric].first()
        if len(untouched):
            axes.axhline(untouched.mean(), color="0.5", lw=0.8, ls="--", label="no removal")
        for number, (label, lines) in enumerate(_labelled(part)):
            table = lines.pivot_table(index="round", columns="seed", values=metric).astype(float)
            table = table.reindex(range(last + 1))
            table.loc[0] = table.loc[0].fillna(untouched)
            measured = table.notna().any(axis=1)
            table = table.interpolate(limit_area="inside").ffill()
            color, style = BASELINES.get(label.split(",")[0], (f"C{number}", "-"))
            mean = table.mean(axis=1)
            axes.plot(mean.index, mean, style, color=color, label=label)
            axes.plot(mean.index[measured], mean[measured], "o", ms=3, color=color)
            axes.fill_between(table.index, table.min(axis=1), table.max(axis=1), color=color, alpha=0.12, lw=0)
        axes.set_title(title, fontsize=9)
        axes.set(xlabel="round", ylabel=metric.replace("_", " "))
        axes.set_xticks(range(last + 1))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=110)


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
    known = augmentation.dropna(subset=[f"{metric}_change"])
    if known.empty:
        msg = f"No augmentation has a change of {metric}, so there is nothing to plot."
        raise ValueError(msg)
    groups = list(known.groupby(["dataset", "category", "detector"], sort=True))
    widest = max(part["augmentation"].nunique() for _, part in groups)
    figure, panels = _panels(len(groups), most=2, width=max(6.0, 1.1 * widest + 1.5))
    series = list(dict.fromkeys(known.apply(_series, axis=1)))
    for axes, (named, part) in zip(panels, groups, strict=True):
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


def _labelled(part: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Lines of each strategy, and of each of its rules where a strategy has several."""
    groups = [(str(key[0]), str(key[1]), lines) for key, lines in part.groupby(["strategy", "rule"])]
    names = [strategy for strategy, _, _ in groups]
    return [
        (strategy if names.count(strategy) == 1 else f"{strategy}, {rule.split(',')[0]}", lines)
        for strategy, rule, lines in groups
    ]


def _figure(frame: pd.DataFrame, *, width: float, by: list[str] | None = None) -> tuple[Figure, list[tuple[Any, Any]]]:
    """A figure with a panel for each group, four side by side at most: axes, and title with rows."""
    parts = [part for _, part in frame.groupby(by or ["dataset", "category"])]
    groups = [(_title(part.iloc[0], is_condition=by is not None), part) for part in parts]
    figure, panels = _panels(len(groups), most=4, width=width)
    return figure, list(zip(panels, groups, strict=True))


def _panels(n: int, *, most: int, width: float) -> tuple[Figure, list[Any]]:
    """A figure and the axes of its panels, so many side by side at most, each `width` inches wide."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    n_columns = min(most, n)
    n_rows = math.ceil(n / n_columns)
    figure = Figure(figsize=(width * n_columns, 3.8 * n_rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for unused in axes[n:]:
        unused.remove()
    return figure, list(axes[:n])


def _title(row: pd.Series, *, is_condition: bool) -> str:
    text = f"{row['dataset']} {row['category']}".strip()
    if is_condition:
        text += f", {row['contamination_ratio']:.0%} defects"
        text += f", {row['repeats']:.0f} copies of each" if row["repeats"] > 1 else ""
        text += f"\n{row['detector']}"
    return text
