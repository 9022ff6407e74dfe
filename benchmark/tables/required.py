"""The requirement that tables are read at."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.records.record import Record
from benchmark.records.sweep_plan import SweepPlan
from benchmark.statistics.requirement import Requirement, read_requirement
from extensions.configuration import apply_overrides


def newest_requirement(plans: Sequence[SweepPlan], records: Sequence[Record]) -> Requirement | None:
    """That of the plan whose runs were started last; None where it requires nothing.

    Of plans for the same runs it is the one that the newest of them keeps: a sweep that asks for another fits it anew.
    """
    newest: dict[str, Record] = {}
    for record in sorted(records, key=lambda record: record.started):
        newest[record.experiment_id] = record

    def recency(plan: SweepPlan) -> tuple[str, bool]:
        own = [newest[entry.experiment_id] for entry in plan.experiments if entry.experiment_id in newest]
        last = max(own, key=lambda record: record.started, default=None)
        asked = read_requirement(plan.requirement)
        is_kept = last is not None and last.thresholds.requirement == (asked.on_disk if asked else None)
        return ("" if last is None else last.started, is_kept)

    found = max(plans, key=recency, default=None)
    return None if found is None else read_requirement(found.requirement)


def parse_requirement(pairs: Sequence[str]) -> Requirement | None:
    """A requirement from a command line, such as `max_false_alarms=0.02`; None where nothing is given.

    Raises:
        ValueError: One sentence: what was found, what was expected.
    """
    if bare := [pair for pair in pairs if "=" not in pair]:
        msg = f"--requirement: found {bare[0]!r}, expected KEY=VALUE, for instance max_false_alarms=0.02"
        raise ValueError(msg)
    try:
        return read_requirement(apply_overrides({}, pairs) or None)
    except ValueError as error:
        msg = f"--requirement: {str(error).removeprefix('requirement: ')}"
        raise ValueError(msg) from error
