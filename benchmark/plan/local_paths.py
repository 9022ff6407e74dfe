"""Where a run's data lie on this machine: a file beside its record that nobody commits or copies."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.plan.experiment import Experiment
from benchmark.records.run_files import write_json

LOCAL = "local.json"


@dataclass(frozen=True)
class Local:
    """What a record leaves out because it is of this machine alone.

    Attributes:
        data_root: Where relative data roots started, absolute.
        experiment: As it was asked for, with absolute paths where they were given.
    """

    data_root: Path
    experiment: Experiment


def write_local(folder: Path, experiment: Experiment, data_root: Path | None = None) -> None:
    """Keep the data root in force, and the paths of an experiment, beside its record; unchanged they stay untouched."""
    from extensions.data.reading.files import from_data_root

    told = {"data_root": str(from_data_root("", data_root)), "model": experiment.model, "data": experiment.data}
    content = json.loads(json.dumps(told, default=str))
    if _read(folder) != content:
        write_json(folder / LOCAL, content)


def read_local(folder: Path, experiment: Experiment) -> Local | None:
    """What was kept beside a record, or None when there is nothing, or something of another experiment.

    Args:
        folder: Of the run.
        experiment: As the record tells it, without absolute paths.
    """
    told = _read(folder)
    if told is None:
        return None
    try:
        given = replace(experiment, model=told["model"], data=told["data"])
        if given.canonical != experiment.canonical:
            return None
        return Local(Path(told["data_root"]), given)
    except (KeyError, TypeError, AttributeError, ValueError):
        return None


def _read(folder: Path) -> dict | None:
    try:
        text = (folder / LOCAL).read_text(encoding="utf-8")
        found = json.loads(text)
    except (OSError, ValueError):
        return None
    if "\\u0000" in text:  # no path has one
        return None
    return found if isinstance(found, dict) else None
