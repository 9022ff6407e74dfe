"""The requirement that tables are read at."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.records.record import Record
from benchmark.records.sweep_plan import SweepPlan
from benchmark.statistics.requirement import Requirement, read_requirement
from extensions.configuration import apply_overrides


def newest_requirement(plans: Sequence[SweepPlan], records: Sequence[Record]) -> Requirement | None:
    """That of the plan whose runs were started last; None where it requires nothing."""
    started: dict[str, str] = {}
    for record in records:
        started[record.experiment_id] = max(record.started, started.get(record.experiment_id, ""))
    last = max(
        plans,
        key=lambda plan: max((started.get(entry.experiment_id, "") for entry in plan.experiments), default=""),
        default=None,
    )
    return None if last is None else read_requirement(last.requirement)


def parse_requirement(pairs: Sequence[str]) -> Requirement | None:
    """A requirement from a command line, such as `max_false_alarms=0.02`; None where nothing is given.

    Raises:
        ValueError: One sentence: what was found, what was expected.
    """
    if bare := [pair for pair in pairs if "=" not in pair]:
        msg = f"--requirement {bare[0]}: expected KEY=VALUE, for instance max_false_alarms=0.02"
        raise ValueError(msg)
    try:
        return read_requirement(apply_overrides({}, pairs)) if pairs else None
    except ValueError as error:
        msg = f"--requirement {' '.join(pairs)}: {error}"
        raise ValueError(msg) from error
