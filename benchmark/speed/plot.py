"""How many times faster: a bar a row, what is asked for as a tick."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extensions.runtime.atomic_write import write_whole

BAR, MISSED, TICK = "#3b6ea5", "#b5483a", "#222222"
PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # under texts, for a tick may lie there


def draw_ratios(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the rows that were measured against stock anomalib; a PNG, whole or not at all.

    Args:
        records: Of the rows.
        path: The file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [row for row in records if row["ratio"] is not None and not row["at_most"]][::-1]
    figure = Figure(figsize=(8, 1.2 + 0.42 * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for place, row in enumerate(shown):
        failed = row["error"] is not None or row["reached"] is False
        axes.barh(place, row["ratio"], color=MISSED if failed else BAR, height=0.62)
        note = f" {row['ratio']:.1f}" + (" (extrapolated)" if row["extrapolated"] else "")
        note += " disagree" if row["agree"] is False else ""
        axes.text(row["ratio"] * 1.02, place, note, va="center", fontsize=8, bbox=PAPER, zorder=3)
        if row["bound"] is not None:
            axes.plot([row["bound"]] * 2, [place - 0.42, place + 0.42], color=TICK, linewidth=2)
    axes.set_yticks(range(len(shown)), [row["work"] for row in shown], fontsize=8)
    axes.set_xscale("log")
    largest = max([2.0, *(max(row["ratio"], row["bound"] or 0) for row in shown)])
    axes.set_xlim(min([0.8, *(0.8 * row["ratio"] for row in shown)]), largest * 4)
    axes.axvline(1, color=TICK, linewidth=0.8, linestyle=":")
    axes.set_xlabel("times faster than stock anomalib, log scale; dark tick: what is asked for")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=150)
    write_whole(path, drawn.getvalue())
