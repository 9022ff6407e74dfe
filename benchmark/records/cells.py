"""Which run belongs where: a cell is one data set, category and seed of one row of the leaderboard."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmark.records.canonical_experiment import CATEGORY, CanonicalExperiment, ClassSpec, is_location
from benchmark.records.record import Record
from benchmark.records.sweep_plan import PlanEntry, SweepPlan
from extensions.data.joint_training import TESTED


@dataclass
class RunCell:
    """One run as asked for, and the records of it.

    Attributes:
        counted: The record that the tables use, see `counting`; None when it never ran.
        superseded: The others.
    """

    category: str
    seed: int
    counted: Record | None = None
    superseded: list[Record] = field(default_factory=list)

    @property
    def state(self) -> str:
        """``finished``, ``failed``, ``missing`` (data not on disk) or ``not run``."""
        return self.counted.status if self.counted is not None else "not run"


@dataclass
class Row:
    """One model with one backbone and settings on one data set, over its categories and seeds.

    Attributes:
        settings: As a person reads them.
        experiment: The canonical one of any of its runs.
        cells: By category and seed.
    """

    dataset: str
    model: str
    backbone: str
    settings: str
    experiment: CanonicalExperiment
    cells: dict[tuple[str, int], RunCell] = field(default_factory=dict)

    @property
    def seeds(self) -> list[int]:
        """Seeds asked for in any category."""
        return sorted({seed for _, seed in self.cells})

    @property
    def counted(self) -> list[Record]:
        """Of each cell that was run, the record that counts."""
        return [cell.counted for cell in self.cells.values() if cell.counted is not None]


def counting(records: Iterable[Record], *, by: Callable[[Record], Hashable]) -> dict[Any, Record]:
    """Of the records of each run the one that counts: a finished one before others, then the newest.

    Args:
        records: Those of another protocol version never count.
        by: What names a run.

    Returns:
        By name of the run, in the order in which runs were first started.
    """
    runs: dict[Hashable, list[Record]] = {}
    for record in sorted(records, key=lambda record: record.started):
        if record.is_current:
            runs.setdefault(by(record), []).append(record)
    return {
        name: max(found, key=lambda record: (record.is_finished, record.started, record.key))
        for name, found in runs.items()
    }


def group_runs(records: Sequence[Record], plans: Sequence[SweepPlan]) -> list[Row]:
    """Sort records into the cells of rows and add an empty cell for what a plan asked for and no record answers.

    A row is told apart by its data set, model, trainer and data arguments. Where those are found to give one cell two
    different experiments (two folders of one name, say), the folders tell rows apart too. Records made by another
    protocol version answer nothing.
    """
    current = _renamed([record for record in records if record.is_current])
    rows: dict[tuple, Row] = {}
    ambiguous = _ambiguous_keys(current)

    def place(record: Record) -> tuple[tuple, str, int]:
        return _row_key(record, ambiguous, record.dataset.name), record.dataset.category, record.seed

    counted = counting(current, by=place)
    for record in current:
        key, category, seed = place(record)
        row = rows.setdefault(key, _row(record.dataset.name, record))
        cell = row.cells.setdefault((category, seed), RunCell(category, seed, counted[key, category, seed]))
        if record is not cell.counted:
            cell.superseded.append(record)
    answered = {record.experiment_id for record in current}
    entries = {entry.experiment_id: entry for plan in plans for entry in plan.experiments}
    places = _data_names(current)
    for name, entry in entries.items():
        if name not in answered:
            dataset, category = _named(entry, places)
            row = _planned_row(rows, entry, dataset, ambiguous)
            row.cells.setdefault((category, entry.seed), RunCell(category, entry.seed))
    return list(rows.values())


def _renamed(records: Sequence[Record]) -> list[Record]:
    """Give a failed run the data set name of its finished twin: without data it was known by its class alone."""
    homes = {record.experiment_id: record.dataset for record in records if record.is_finished}
    return [
        record.model_copy(update={"dataset": homes[record.experiment_id]})
        if not record.is_finished and record.experiment_id in homes
        else record
        for record in records
    ]


def _row(dataset: str, source: Record | PlanEntry) -> Row:
    experiment = source.experiment or CanonicalExperiment()
    return Row(dataset, source.model, source.backbone, source.settings, experiment)


def _row_key(source: Record | PlanEntry, ambiguous: set[tuple], dataset: str) -> tuple:
    """What tells rows apart; the folders of the data only where nothing else does."""
    experiment = source.experiment or CanonicalExperiment()
    arguments = experiment.data.init_args
    model = experiment.model.on_disk() or [source.model, source.backbone, source.settings]
    rest = [experiment.trainer, experiment.refinement, [part.on_disk() for part in experiment.augmentation]]
    telling = {name: value for name, value in arguments.items() if not is_location(name) and name not in CATEGORY}
    key = (dataset, _text(model), _text(rest), _text(telling), experiment.data.training)
    if key in ambiguous:
        left = {name: value for name, value in arguments.items() if name not in (*CATEGORY, *TESTED)}
        return (*key, _text(left))
    return key


def _ambiguous_keys(records: Sequence[Record]) -> set[tuple]:
    """Row keys that would put different experiments into one cell."""
    seen: dict[tuple, set[str]] = defaultdict(set)
    for record in records:
        key = _row_key(record, set(), record.dataset.name)
        seen[key, record.dataset.category, record.seed].add(record.experiment_id)
    return {key for (key, _, _), experiments in seen.items() if len(experiments) > 1}


def _data_names(records: Sequence[Record]) -> dict[str, tuple[str, str]]:
    """From data arguments, and from the class alone, to the data set and category that the datamodule calls itself."""
    names = {}
    for record in records:
        data = record.experiment.data
        names[_text(data.on_disk())] = (record.dataset.name, record.dataset.category)
        names.setdefault(_class_and_name(data), (record.dataset.name, ""))
    return names


def _named(entry: PlanEntry, names: dict[str, tuple[str, str]]) -> tuple[str, str]:
    """Data set and category of a planned run, as its records would name them."""
    if entry.experiment is None:
        known = {dataset.casefold(): dataset for dataset, _ in names.values()}
        return known.get(entry.dataset.casefold(), entry.dataset), entry.category
    data = entry.experiment.data
    planned = (entry.dataset, entry.category)
    return names.get(_text(data.on_disk())) or (names.get(_class_and_name(data), planned)[0], entry.category)


def _class_and_name(data: ClassSpec) -> str:
    return _text([data.class_path, data.init_args.get("name")])


def _planned_row(rows: dict[tuple, Row], entry: PlanEntry, dataset: str, ambiguous: set[tuple]) -> Row:
    """The row that a planned run belongs to, made if there is none yet."""
    row = _row(dataset, entry)
    if entry.experiment is None:
        described = (dataset, entry.model, entry.backbone, entry.settings)
        alike = [r for r in rows.values() if (r.dataset, r.model, r.backbone, r.settings) == described]
        return alike[0] if len(alike) == 1 else rows.setdefault(described, row)
    return rows.setdefault(_row_key(entry, ambiguous, dataset), row)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
