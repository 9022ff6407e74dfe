"""The results as files: speed.csv, speed.json, speed.png; and as a table for a README."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.one_run.machine import environment
from benchmark.records.run_files import write_json, write_text
from benchmark.speed.timing import COLUMNS, STOCK


def write_results(output: Path, records: Sequence[dict[str, Any]], settings: dict[str, Any]) -> None:
    """Write all records as one JSON, their columns as CSV, and their ratios as a plot."""
    from benchmark.speed.plot import draw_ratios

    content = {"environment": dict(environment()), "settings": settings, "rows": list(records)}
    write_json(output / "speed.json", content)
    write_text(output / "speed.csv", pd.DataFrame(records, columns=list(COLUMNS)).to_csv(index=False))
    draw_ratios(records, output / "speed.png")


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
    return "\n".join(lines) + f"\n\n{machine['cpu']}, {machine['n_threads']} threads, {machine['device']}; {versions}."


def _cells(row: dict[str, Any]) -> list[str]:
    if row["ratio"] is None:
        return [row["work"], "", "", "", "", "", "", f"failed: {row['error']}"]
    against = _seconds(row["reference_seconds"]) + (" (extrapolated)" if row["extrapolated"] else "")
    if row["reference"] not in (STOCK, "anomalib benchmark"):
        against = f"({row['reference'].removeprefix('ours, ').removeprefix('ours ')}: {against})"
    ratio = f"{row['ratio']:.2f} x" if row["at_most"] else _faster(row["ratio"])
    asked = ""
    if row["bound"] is not None:
        asked = f"at most {row['bound']:g} x" if row["at_most"] else f"{row['bound']:g} x faster"
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
