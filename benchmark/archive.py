"""Reading an output folder back: its records and plans, whatever state they are in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Archive", "fact", "load"]

Record = dict[str, Any]


@dataclass
class Archive:
    """What an output folder holds.

    Attributes:
        records: Every readable record, with its folder relative to the output folder under ``folder``.
        plans: Every readable plan: what was asked for.
        warnings: One sentence for each file that could not be read.
    """

    records: list[Record] = field(default_factory=list)
    plans: list[Record] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def load(output: Path) -> Archive:
    """Read all records and plans; a file that cannot be read becomes a warning and hides none of the others.

    Args:
        output: Folder of ``benchmark run``.
    """
    archive = Archive()
    for path in sorted((output / "runs").glob("**/record.json")):
        record = _read(path, output, ("key", "status", "model", "dataset"), archive.warnings)
        if record is not None:
            archive.records.append(record | {"folder": path.parent.relative_to(output).as_posix()})
    for path in sorted((output / "plans").glob("*.json")):
        plan = _read(path, output, ("experiments",), archive.warnings)
        if plan is not None:
            archive.plans.append(plan)
    return archive


def fact(record: Record, *names: str) -> Any:
    """A value deep in a record, None where any step is absent: failed runs lack most of it."""
    value: Any = record
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _read(path: Path, output: Path, needed: tuple[str, ...], warnings: list[str]) -> Record | None:
    shown = path.relative_to(output).as_posix()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        warnings.append(f"{shown} cannot be read and is left out: {' '.join(str(error).split())}.")
        return None
    lacking = [name for name in needed if not isinstance(content, dict) or not content.get(name)]
    if not lacking and "dataset" in needed and not fact(content, "dataset", "name"):
        lacking = ["dataset.name"]
    if lacking:
        warnings.append(f"{shown} is left out: it has no {', '.join(lacking)}.")
        return None
    return content
