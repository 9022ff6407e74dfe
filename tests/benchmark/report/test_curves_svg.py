from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmark.report.curves_svg import plots
from benchmark.report.svg_plot import Axes, Plot, round_ticks
from benchmark.tables.decision import LeadingRow, Thresholds


def scores(n: int = 40, *, seed: int = 0) -> pd.DataFrame:
    labels = np.arange(n) % 2
    return pd.DataFrame({"label": labels, "score": np.random.default_rng(seed).normal(labels * 1.5, 1.0)})


def row(frame: pd.DataFrame, *levels: float) -> LeadingRow:
    found = Thresholds(lower=levels[0], upper=levels[-1], source="test images") if levels else None
    return LeadingRow(label="Padim", model="Padim", backbone="resnet18", settings="", place="1", key="k", scores=frame,
                      thresholds=found)  # fmt: skip


def curve(plot: Plot) -> np.ndarray:
    """The values (K, 2) of a plot's last line, read back from its px."""
    left, top, right, bottom = plot.frame
    px = np.array([[float(v) for v in point.split(",")] for point in plot.lines[-1].points.split()])
    return np.column_stack([(px[:, 0] - left) / (right - left), (bottom - px[:, 1]) / (bottom - top)])


def test_areas_under_the_drawn_curves_are_the_metrics_in_their_captions() -> None:
    frame = scores()
    (_, _), (roc_caption, roc), (pr_caption, pr) = plots(row(frame))
    auroc = roc_auc_score(frame["label"], frame["score"])
    precision = average_precision_score(frame["label"], frame["score"])
    assert roc_caption == f"ROC curve, AUROC {auroc:.3f}"
    assert pr_caption == f"Precision-recall curve, AP {precision:.3f}"
    drawn = curve(roc)
    assert np.trapezoid(drawn[:, 1], drawn[:, 0]) == pytest.approx(auroc, abs=2e-3)
    drawn = curve(pr)[::-1]
    assert np.trapezoid(drawn[:, 1], drawn[:, 0]) == pytest.approx(precision, abs=0.03)


def test_bars_count_every_image_once_and_thresholds_stand_at_their_score() -> None:
    frame = scores()
    plot = plots(row(frame, 0.5, 1.25))[0][1]
    for look in ("good", "defective"):
        assert sum(int(bar.title.split()[0]) for bar in plot.bars if bar.look == look) == 20
    axes = Axes(width=plot.size[0], height=plot.size[1], x_range=(frame["score"].min(), frame["score"].max()),
                y_range=(0, 1))  # fmt: skip
    assert [line.points.split(",")[0] for line in plot.lines] == [f"{axes.x(0.5):g}", f"{axes.x(1.25):g}"]
    assert [line.name for line in plot.lines] == ["good below 0.5", "defective from 1.25"]


def test_a_dot_tells_the_rates_at_the_threshold() -> None:
    frame = scores()
    found = ((frame["score"] >= 0.5) & (frame["label"] == 1)).sum() / 20
    alarms = ((frame["score"] >= 0.5) & (frame["label"] == 0)).sum() / 20
    (mark,) = plots(row(frame, 0.5))[1][1].marks
    assert mark.title == f"at 0.5: {found:.1%} of the defects found, {alarms:.1%} false alarms"


def test_categories_have_a_curve_each_and_no_common_histogram() -> None:
    frame = pd.concat([scores(seed=i).assign(category=name) for i, name in enumerate("ab")])
    found = plots(row(frame, 0.5))
    assert [caption.split(",")[0] for caption, _ in found] == [
        "ROC curves by category",
        "Precision-recall curves by category",
    ]
    assert [line.title for line in found[0][1].lines[1:]] == ["a", "b"]
    assert not found[0][1].marks


@pytest.mark.parametrize("label", [0, 1])
def test_scores_of_one_class_have_no_curves(label: int) -> None:
    assert plots(row(scores().assign(label=label))) == []


def test_equal_scores_and_a_threshold_beyond_them_are_drawn() -> None:
    frame = scores().assign(score=1.0)
    plot = plots(row(frame, 7.0))[0][1]
    assert len(plot.bars) == 2
    assert all(np.isfinite([bar.x, bar.y, bar.width, bar.height]).all() for bar in plot.bars)
    assert plot.frame[0] <= float(plot.lines[0].points.split(",")[0]) <= plot.frame[2]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0, 33, [0, 10, 20, 30]), (-3, 3, [-3, -2, -1, 0, 1, 2, 3]), (5, 5, [5])],
)
def test_ticks_are_round_and_within_the_range(low: float, high: float, expected: list[float]) -> None:
    assert round_ticks(low, high) == pytest.approx(expected)
