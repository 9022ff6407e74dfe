"""The results as files: speed.csv, speed.json, speed.png; and as a table for a README."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.one_run.machine import environment
from benchmark.records.run_files import write_json, write_text
from benchmark.speed.timing import COLUMNS, STOCK
from extensions.runtime.atomic_write import write_whole

BAR, MISSED, TICK = "#3b6ea5", "#b5483a", "#222222"
PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # under texts, for a tick may lie there


def write_results(output: Path, records: Sequence[dict[str, Any]], settings: dict[str, Any]) -> None:
    """Write all records as one JSON, their columns as CSV, and their ratios as a plot."""
    content = {"environment": dict(environment()), "settings": settings, "rows": list(records)}
    write_json(output / "speed.json", content)
    write_text(output / "speed.csv", pd.DataFrame(records, columns=list(COLUMNS)).to_csv(index=False))
    draw_ratios(records, output / "speed.png")


def draw_ratios(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw how many times faster ours is than stock anomalib, what is asked for as a tick; whole or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [row for row in records if row["ratio"] is not None and not row["at_most"] and _is_of_stock(row)][::-1]
    figure = Figure(figsize=(9, 1.2 + 0.42 * len(shown)), layout="constrained")
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
    axes.set_yticks(range(len(shown)), [_label(row) for row in shown], fontsize=8)
    axes.set_xscale("log")
    largest = max([2.0, *(max(row["ratio"], row["bound"] or 0) for row in shown)])
    axes.set_xlim(min([0.8, *(0.8 * row["ratio"] for row in shown)]), largest * 4)
    axes.axvline(1, color=TICK, linewidth=0.8, linestyle=":")
    axes.set_xlabel("times faster than stock anomalib; tick: what is asked for")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=150)
    write_whole(path, drawn.getvalue())


def _is_of_stock(row: dict[str, Any]) -> bool:
    return row["reference"] in (STOCK, "anomalib benchmark")


def _label(row: dict[str, Any]) -> str:
    """The work, and the size of the files where they are enlarged ones."""
    size = re.search(r"enlarged: .* of (\d+) x", row["data"])
    return row["work"] + (f", files of {size[1]} px" if size else "")


def readme_table(content: dict[str, Any]) -> str:
    """Markdown of `speed.json`: every row with both times, the ratio, what it should be, and the limit."""
    lines = [
        "| work | data | stock anomalib | ours | ratio | asked | of its limit | agree |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in content["rows"]:
        lines.append(f"| {' | '.join(_cells(row))} |")
    machine = content["environment"]
    versions = f"anomalib {machine['anomalib']}, torch {machine['torch']}"
    commits = ", ".join(dict.fromkeys(row["commit"] or "no commit" for row in content["rows"]))
    place = f"{machine['cpu']}, {machine['n_threads']} threads, {machine['device']}"
    return "\n".join(lines) + f"\n\n{place}; {versions}; measured at {commits}."


def _cells(row: dict[str, Any]) -> list[str]:
    if row["ratio"] is None:
        return [row["work"], "", "", "", "", "", "", f"failed: {row['error']}"]
    against = _seconds(row["reference_seconds"]) + (" (extrapolated)" if row["extrapolated"] else "")
    if not _is_of_stock(row):
        against = f"({row['reference'].removeprefix('ours, ').removeprefix('ours ')}: {against})"
    ratio = f"{row['ratio']:.2f} x" if row["at_most"] else _faster(row["ratio"])
    asked = ""
    if row["bound"] is not None:
        asked = f"at most {row['bound']:g} x" if row["at_most"] else f"{row['bound']:g} x faster"
        asked += f", or {row['limit_bound']:.2f} x its limit" if row.get("limit_bound") else ""
        asked += "" if row["reached"] else " (missed)"
    of_limit = f"{row['times_limit']:.2g} x {row['limit'].split(' (')[0]}" if row["times_limit"] else ""
    agree = {True: f"to {row['difference']:.0e}" if row["difference"] else "exactly", False: "no", None: ""}[
        row["agree"]
    ]
    return [row["work"], row["data"], against, _seconds(row["ours_seconds"]), ratio, asked, of_limit, agree]


def _faster(ratio: float) -> str:
    return f"{ratio:.1f} x faster" if ratio >= 1 else f"{1 / ratio:.1f} x slower"


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value >= 20 else f"{value:.2g} s"
