"""Reading an output folder back: its records, plans and probes, whatever state they are in."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.records.probes import contradictions, read_probes
from benchmark.records.record import Record
from benchmark.records.record_file import RecordError, read_plan, read_records
from benchmark.records.sweep_plan import SweepPlan

__all__ = ["Archive", "load"]


@dataclass
class Archive:
    """What an output folder holds.

    Attributes:
        records: Every readable record.
        plans: Every readable plan: what was asked for.
        probes: Rows of every readable ``probe*.csv``, see :func:`benchmark.records.probes.read_probes`.
        warnings: One sentence for each file that could not be read.
    """

    records: list[Record] = field(default_factory=list)
    plans: list[SweepPlan] = field(default_factory=list)
    probes: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def load(output: Path) -> Archive:
    """Read all records, plans and probes; a file that cannot be read becomes a warning and hides none of the others.

    Args:
        output: Folder of ``benchmark run``.
    """
    archive = Archive()
    archive.records += read_records(output, archive.warnings)
    for path in sorted((output / "plans").glob("*.json")):
        try:
            archive.plans.append(read_plan(path))
        except RecordError as error:
            archive.warnings.append(f"{path.relative_to(output).as_posix()} {error}.")
    for path in sorted(output.glob("probe*.csv")):
        try:
            archive.probes += read_probes(path)
        except (OSError, ValueError) as error:
            archive.warnings.append(f"{path.name} is left out: {' '.join(str(error).split())}.")
    archive.warnings += contradictions(archive.probes)
    return archive
