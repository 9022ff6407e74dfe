"""The command that makes of a run a model for the line, for each run behind a row of the leaderboard."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.statistics.requirement import Requirement
from benchmark.tables.frames import Frames
from benchmark.tables.ranking import sort_key


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
    """The finished runs of each row of the leaderboard, in each category the best first; `output` has the records."""
    finished = tables.runs[tables.runs["status"] == "finished"].drop_duplicates("key")
    runs: dict[str, dict[str, Any]] = {str(line["key"]): dict(line) for _, line in finished.iterrows()}
    found = []
    for keys in tables.leaderboard["run_keys"]:
        listed = [key for key in str(keys or "").split(";") if key in runs]
        listed.sort(key=lambda key: (str(runs[key]["category"] or ""), sort_key(runs[key]), key))
        seeds = {key: 0 if pd.isna(runs[key]["seed"]) else int(runs[key]["seed"]) for key in listed}
        told = [", ".join(filter(None, (str(runs[key]["category"] or ""), f"seed {seeds[key]}"))) for key in listed]
        which = told if len(listed) > 1 else [""] * len(listed)
        found.append([Export(one, key, command(key, output)) for one, key in zip(which, listed, strict=True)])
    return found


def command(key: str, output: Path, *, requirement: Requirement | None = None) -> str:
    """The command that exports a run, to be run where the benchmark was.

    Args:
        key: Of the run.
        output: Folder of its record.
        requirement: That its thresholds are to be fitted anew for; None keeps those of the run.
    """
    here = Path.cwd()
    if output.is_absolute() and output.is_relative_to(here):
        output = output.relative_to(here)
    told = ["workbench", "export", "--run", key, "--records", str(output), "--output", "model"]
    return shlex.join([*told, *(["--requirement", *requirement.as_options] if requirement else [])])
