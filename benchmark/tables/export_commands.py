"""The command that makes of a run a model for the line, for each run behind a row of the leaderboard."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.tables.leaderboard import Frames, sort_key


@dataclass(frozen=True)
class Export:
    """A finished run.

    Attributes:
        which: Category and seed, where its row has several runs; else empty.
        key: Of the run.
        command: To be copied into a terminal.
    """

    which: str
    key: str
    command: str


def exports(tables: Frames, output: Path) -> list[list[Export]]:
    """The finished runs of each row of the leaderboard, in each category the best first.

    Args:
        tables: From `benchmark.tables.leaderboard.build_tables`.
        output: Folder of the records.
    """
    finished = tables.runs[tables.runs["status"] == "finished"].drop_duplicates("key")
    runs: dict[str, dict[str, Any]] = {str(line["key"]): dict(line) for _, line in finished.iterrows()}
    found = []
    for keys in tables.leaderboard["run_keys"]:
        listed = [key for key in str(keys or "").split(";") if key in runs]
        listed.sort(key=lambda key: (str(runs[key]["category"] or ""), sort_key(_line(runs[key])), key))
        which = [_which(runs[key]) if len(listed) > 1 else "" for key in listed]
        found.append([Export(one, key, command(key, output)) for one, key in zip(which, listed, strict=True)])
    return found


def command(key: str, output: Path) -> str:
    """The command that exports a run, to be run where the benchmark was."""
    return shlex.join(["workbench", "export", "--run", key, "--records", str(_from_here(output)), "--output", "model"])


def _from_here(output: Path) -> Path:
    """The folder as it is called from the working directory, where it lies below."""
    here = Path.cwd()
    return output.relative_to(here) if output.is_absolute() and output.is_relative_to(here) else output


def _which(run: dict[str, Any]) -> str:
    return ", ".join(
        filter(None, (str(run["category"] or ""), f"seed {0 if pd.isna(run['seed']) else int(run['seed'])}"))
    )


def _line(run: dict[str, Any]) -> dict[str, Any]:
    values = {name: run[name] for name in ("image_AUROC", "pixel_AUROC", "latency_ms")}
    return {name: None if pd.isna(value) else value for name, value in values.items()}
