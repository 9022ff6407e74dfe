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
        listed.sort(key=lambda key: (str(runs[key]["category"] or ""), sort_key(runs[key]), key))
        which = [_which(runs[key]) if len(listed) > 1 else "" for key in listed]
        found.append([Export(one, key, command(key, output)) for one, key in zip(which, listed, strict=True)])
    return found


def command(key: str, output: Path) -> str:
    """The command that exports a run, to be run where the benchmark was."""
    here = Path.cwd()
    if output.is_absolute() and output.is_relative_to(here):
        output = output.relative_to(here)
    return shlex.join(["workbench", "export", "--run", key, "--records", str(output), "--output", "model"])


def _which(run: dict[str, Any]) -> str:
    return ", ".join(
        filter(None, (str(run["category"] or ""), f"seed {0 if pd.isna(run['seed']) else int(run['seed'])}"))
    )
