"""Reading an output folder back: its records, plans and probes, whatever state they are in."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.records.packed import RECORDS, packed_plans, packed_records
from benchmark.records.probes import contradictions, read_probes
from benchmark.records.record import Record
from benchmark.records.record_file import RecordError, read_plan, read_record
from benchmark.records.run_files import RECORD
from benchmark.records.sweep_plan import SweepPlan


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
    plans, faults = packed_plans(output)
    archive.plans += plans
    archive.warnings += faults
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


def read_records(output: Path, warnings: list[str] | None = None) -> list[Record]:
    """Every readable record of an output folder, in a stable order; of a run that was also packed, its own.

    Args:
        output: Folder of `benchmark run`.
        warnings: Gets a sentence for each of the others.
    """
    found, faults = [], []
    for path in sorted((output / "runs").glob(f"**/{RECORD}")):
        try:
            found.append(read_record(path, output))
        except RecordError as error:
            faults.append(f"{path.relative_to(output).as_posix()} {error}.")
    keys = {record.key for record in found}
    packed, damaged = packed_records(output)
    found += [record for record in packed if record.key not in keys]
    if warnings is not None:
        warnings += [*faults, *damaged]
    return sorted(found, key=lambda record: record.folder)


def holds_runs(output: Path) -> bool:
    """Whether a folder holds records, in folders of their own or packed; an empty file of packed ones holds none."""
    packed = output / RECORDS
    return (output / "runs").is_dir() or (packed.is_file() and packed.stat().st_size > 0)
