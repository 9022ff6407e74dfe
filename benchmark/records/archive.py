"""Reading an output folder back: its records, plans and probes, whatever state they are in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.records.probes import contradictions, read_probes

__all__ = ["Archive", "fact", "load"]

Record = dict[str, Any]
STATUSES = ("finished", "failed", "missing")


@dataclass
class Archive:
    """What an output folder holds.

    Attributes:
        records: Every readable record, with its folder relative to the output folder under ``folder``.
        plans: Every readable plan: what was asked for.
        probes: Rows of every readable ``probe*.csv``, see :func:`benchmark.records.probes.read_probes`.
        warnings: One sentence for each file that could not be read.
    """

    records: list[Record] = field(default_factory=list)
    plans: list[Record] = field(default_factory=list)
    probes: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def load(output: Path) -> Archive:
    """Read all records, plans and probes; a file that cannot be read becomes a warning and hides none of the others.

    Args:
        output: Folder of ``benchmark run``.
    """
    archive = Archive()
    for path in sorted((output / "runs").glob("**/record.json")):
        record = _read(path, output, _record_faults, archive.warnings)
        if record is not None:
            archive.records.append(record | {"folder": path.parent.relative_to(output).as_posix()})
    for path in sorted((output / "plans").glob("*.json")):
        plan = _read(path, output, _plan_faults, archive.warnings)
        if plan is not None:
            archive.plans.append(plan)
    for path in sorted(output.glob("probe*.csv")):
        try:
            archive.probes += read_probes(path)
        except (OSError, ValueError) as error:
            archive.warnings.append(f"{path.name} is left out: {' '.join(str(error).split())}.")
    archive.warnings += contradictions(archive.probes)
    return archive


def fact(record: Record, *names: str) -> Any:
    """A value deep in a record, None where any step is absent: failed runs lack most of it."""
    value: Any = record
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _read(path: Path, output: Path, faults: Callable[[Any], list[str]], warnings: list[str]) -> Record | None:
    shown = path.relative_to(output).as_posix()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        warnings.append(f"{shown} cannot be read and is left out: {' '.join(str(error).split())}.")
        return None
    if found := faults(content):
        warnings.append(f"{shown} is left out: it has no {', '.join(found)} of the expected kind.")
        return None
    return content


def _record_faults(content: Any) -> list[str]:
    """Names of what the tables cannot do without, or cannot take as it is."""
    metrics, layers = fact(content, "metrics") or {}, fact(content, "layers") or []
    sound = {
        "key": isinstance(fact(content, "key"), str),
        "status": fact(content, "status") in STATUSES,
        "model": isinstance(fact(content, "model"), str),
        "dataset": isinstance(fact(content, "dataset"), dict),
        "dataset.name": isinstance(fact(content, "dataset", "name"), str),
        "dataset.category": isinstance(fact(content, "dataset", "category"), str | None),
        "experiment.seed": isinstance(fact(content, "experiment", "seed"), int | None),
        "layers": isinstance(layers, list) and all(isinstance(layer, str) for layer in layers),
        "metrics": isinstance(metrics, dict)
        and all(isinstance(value, int | float | None) for value in metrics.values()),
    }
    return [name for name, is_sound in sound.items() if not is_sound]


def _plan_faults(content: Any) -> list[str]:
    entries = fact(content, "experiments")
    sound = isinstance(entries, list) and all(
        isinstance(fact(entry, "experiment_id"), str) and str(fact(entry, "seed")).isdigit() for entry in entries
    )
    return [] if sound else ["experiments"]
