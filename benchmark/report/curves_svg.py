"""Score histogram, ROC curve and precision-recall curve of a leading row, as inline SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from benchmark.report.svg_plot import Axes, Bar, Line, Mark, Plot, round_ticks
from benchmark.tables.decision import LeadingRow, Thresholds

WIDTH, HEIGHT = 400, 260  # px
N_BINS = 36
_LOOKS = ("good", "defective")
_SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def plots(row: LeadingRow) -> list[tuple[str, Plot]]:
    """Caption and plot of each; none for scores of one class.

    Several categories have one curve each and no histogram, for their scores share no scale.
    """
    parts = list(_categories(row.scores))
    if not parts:
        return []
    found = []
    if len(parts) == 1 and "category" not in _told_apart(row.scores):
        found.append(("Scores", score_histogram(parts[0][1], row.thresholds, label=row.label)))
    auroc = _mean_told(parts, "AUROC")
    precision = _mean_told(parts, "AP")
    kind = " curve" if len(parts) == 1 else " curves by category"
    thresholds = row.thresholds if len(parts) == 1 else None
    found.append((f"ROC{kind}, {auroc}", roc_plot(parts, thresholds, label=row.label)))
    found.append((f"Precision-recall{kind}, {precision}", precision_recall_plot(parts, thresholds, label=row.label)))
    return found


def score_histogram(scores: pd.DataFrame, thresholds: Thresholds | None, *, label: str) -> Plot:
    """How many good and how many defective images have which score, with the thresholds.

    Args:
        scores: Columns label (0 good, 1 defective) and score (raw, higher is more anomalous).
        thresholds: Drawn as lines, also where they lie beyond all scores.
        label: Of the row, for the text that stands for the plot.
    """
    levels = thresholds.levels if thresholds is not None else []
    low, high = min([scores["score"].min(), *levels]), max([scores["score"].max(), *levels])
    edges = np.linspace(low, high if high > low else low + 1, N_BINS + 1)
    counts = [np.histogram(scores.loc[scores["label"] == one, "score"], edges)[0] for one in (0, 1)]
    most = int(max(map(max, counts)))
    axes = Axes(width=WIDTH, height=HEIGHT, x_range=(edges[0], edges[-1]), y_range=(0, most * 1.12 or 1))
    bars = [
        Bar(x=axes.x(edges[i]), y=axes.y(n), width=round(axes.x(edges[i + 1]) - axes.x(edges[i]), 1),
            height=round(axes.y(0) - axes.y(n), 1), look=look,
            title=f"{n} {look}, {edges[i]:.3g} to {edges[i + 1]:.3g}")
        for look, of_class in zip(_LOOKS, counts, strict=True)
        for i, n in enumerate(of_class) if n
    ]  # fmt: skip
    names = ["good below", "defective from"] if len(levels) == 2 else ["threshold"]
    lines = [_level(axes, value, names[i], line=i) for i, value in enumerate(levels)]
    return Plot(
        alt=f"Scores of {len(scores)} test images of {label}: good ones left, defective ones right",
        size=(WIDTH, HEIGHT), frame=axes.frame, x_label="score", y_label="images",
        x_ticks=[(axes.x(value), f"{value:g}") for value in round_ticks(*axes.x_range, n=5)],
        y_ticks=[(axes.y(value), f"{value:g}") for value in round_ticks(0, most, n=5) if value == int(value)],
        bars=bars, lines=lines,
    )  # fmt: skip


def roc_plot(parts: Sequence[tuple[str, pd.DataFrame]], thresholds: Thresholds | None, *, label: str) -> Plot:
    """Share of defects found against share of false alarms; a dot where a threshold lies."""
    from sklearn.metrics import roc_curve

    axes = Axes(width=WIDTH, height=HEIGHT, x_range=(0, 1), y_range=(0, 1))
    lines = [Line(points=axes.points([0, 1], [0, 1]), look="chance", title="guessing")]
    for name, scores in parts:
        false_alarms, found, _ = roc_curve(scores["label"], scores["score"])
        lines.append(Line(points=axes.points(false_alarms, found), look=_look(parts), title=name or label))
    marks = []
    for level in thresholds.levels if thresholds is not None else ():
        found, false_alarms, _ = _rates(parts[0][1], level)
        title = f"at {level:.4g}: {found:.1%} of the defects found, {false_alarms:.1%} false alarms"
        marks.append(Mark(x=axes.x(false_alarms), y=axes.y(found), look="level", title=title))
    return Plot(
        alt=f"ROC curve of {label}", size=(WIDTH, HEIGHT), frame=axes.frame, lines=lines, marks=marks,
        x_label="false alarms (share of good images)", y_label="found (share of defects)",
        x_ticks=[(axes.x(value), f"{value:g}") for value in _SHARES],
        y_ticks=[(axes.y(value), f"{value:g}") for value in _SHARES],
    )  # fmt: skip


def precision_recall_plot(
    parts: Sequence[tuple[str, pd.DataFrame]], thresholds: Thresholds | None, *, label: str
) -> Plot:
    """Share of the alarms that are defects against share of defects found; a dot where a threshold lies."""
    from sklearn.metrics import precision_recall_curve

    axes = Axes(width=WIDTH, height=HEIGHT, x_range=(0, 1), y_range=(0, 1))
    lines = []
    for name, scores in parts:
        precision, recall, _ = precision_recall_curve(scores["label"], scores["score"], drop_intermediate=True)
        lines.append(Line(points=axes.points(recall, precision), look=_look(parts), title=name or label))
    marks = []
    for level in thresholds.levels if thresholds is not None else ():
        found, _, right = _rates(parts[0][1], level)
        if right is not None:
            title = f"at {level:.4g}: {found:.1%} of the defects found, {right:.1%} of the alarms are defects"
            marks.append(Mark(x=axes.x(found), y=axes.y(right), look="level", title=title))
    return Plot(
        alt=f"Precision-recall curve of {label}", size=(WIDTH, HEIGHT), frame=axes.frame, lines=lines, marks=marks,
        x_label="recall (share of defects found)", y_label="precision (defects among alarms)",
        x_ticks=[(axes.x(value), f"{value:g}") for value in _SHARES],
        y_ticks=[(axes.y(value), f"{value:g}") for value in _SHARES],
    )  # fmt: skip


def _told_apart(scores: pd.DataFrame) -> set[str]:
    return {"category"} if "category" in scores and scores["category"].nunique() > 1 else set()


def _categories(scores: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and scores of each category that has both classes."""
    parts = scores.groupby("category", sort=True) if _told_apart(scores) else [("", scores)]
    for name, part in parts:
        if part["label"].nunique() == 2:
            yield str(name), part


def _mean_told(parts: Sequence[tuple[str, pd.DataFrame]], metric: str) -> str:
    from sklearn.metrics import average_precision_score, roc_auc_score

    measure = roc_auc_score if metric == "AUROC" else average_precision_score
    value = float(np.mean([measure(part["label"], part["score"]) for _, part in parts]))
    return f"{metric} {value:.3f}" if len(parts) == 1 else f"mean {metric} {value:.3f}"


def _look(parts: Sequence[object]) -> str:
    return "curve" if len(parts) == 1 else "curve thin"


def _rates(scores: pd.DataFrame, level: float) -> tuple[float, float, float | None]:
    """Share of the defects found, share of false alarms, and share of the alarms that are defects."""
    called, defective = scores["score"] >= level, scores["label"] == 1
    right = float(defective[called].mean()) if called.any() else None
    return float(called[defective].mean()), float(called[~defective].mean()), right


def _level(axes: Axes, value: float, name: str, *, line: int) -> Line:
    _, top, right, bottom = axes.frame
    x = axes.x(value)
    anchor = "end" if x > right - 120 else "start"
    at = (round(x + (-4 if anchor == "end" else 4), 1), top + 10.0 + 14 * line)  # of two names one stands lower
    return Line(points=f"{x:g},{top} {x:g},{bottom}", look="threshold", title=f"{name} {value:.4g}",
                name=f"{name} {value:.3g}", at=at, anchor=anchor)  # fmt: skip
