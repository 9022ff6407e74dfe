"""Which run belongs where: a slot is one data set, category and seed of one row of the leaderboard."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmark.plan.experiment import PROTOCOL_VERSION, is_location
from benchmark.records.archive import Record, fact

__all__ = ["Row", "Slot", "fill"]

_SECTIONS = ("refinement", "augmentation")  # of an experiment, where it has them


@dataclass
class Slot:
    """One run as asked for, and the records of it.

    Attributes:
        counted: The record that the tables use: the newest finished one, else the newest; None when it never ran.
        superseded: The others.
    """

    category: str
    seed: int
    counted: Record | None = None
    superseded: list[Record] = field(default_factory=list)

    @property
    def state(self) -> str:
        """``finished``, ``failed``, ``missing`` (data not on disk) or ``not run``."""
        return str(self.counted["status"]) if self.counted is not None else "not run"


@dataclass
class Row:
    """One model with one backbone and settings on one data set, over its categories and seeds.

    Attributes:
        described: model, backbone, settings as a person reads them.
        experiment: The canonical one of any of its runs, without what differs from run to run.
        slots: By category and seed.
    """

    dataset: str
    described: dict[str, str]
    data_arguments: dict[str, Any] = field(default_factory=dict)
    experiment: dict[str, Any] = field(default_factory=dict)
    slots: dict[tuple[str, int], Slot] = field(default_factory=dict)

    @property
    def seeds(self) -> list[int]:
        """Seeds asked for in any category."""
        return sorted({seed for _, seed in self.slots})


def fill(records: Sequence[Record], plans: Sequence[Record]) -> list[Row]:
    """Sort records into the slots of rows and add an empty slot for what a plan asked for and no record answers.

    A row is told apart by its data set, model, trainer and data arguments. Where those are found to give one slot two
    different experiments (two folders of one name, say), the folders tell rows apart too. Records made by another
    protocol version answer nothing.
    """
    current = _renamed([record for record in records if record.get("protocol_version") == PROTOCOL_VERSION])
    rows: dict[tuple, Row] = {}
    crowded = _crowded(current)
    for record in current:
        key = _row_key(record, crowded)
        row = rows.setdefault(key, _row(record["dataset"]["name"], record))
        _place(row, record)
    answered = {record.get("experiment_id") for record in current}
    places = _data_names(current)
    for entry in _planned(plans, answered):
        dataset, category = _named(entry, places)
        row = _planned_row(rows, entry, dataset, crowded)
        slot = (category, int(entry["seed"]))
        row.slots.setdefault(slot, Slot(*slot))
    return list(rows.values())


def _renamed(records: Sequence[Record]) -> list[Record]:
    """Give a failed run the data set name of its finished twin: without data it was known by its class alone."""
    homes = {r.get("experiment_id"): r["dataset"] for r in records if r["status"] == "finished"}
    return [
        record | {"dataset": homes[record.get("experiment_id")]}
        if record["status"] != "finished" and record.get("experiment_id") in homes
        else record
        for record in records
    ]


def _planned(plans: Sequence[Record], answered: set) -> list[Record]:
    """Entries of all plans that no record answers, each once."""
    entries = {entry["experiment_id"]: entry for plan in plans for entry in plan["experiments"]}
    return [entry for name, entry in entries.items() if name not in answered]


def _row(dataset: str, source: Record) -> Row:
    described = {name: str(source.get(name) or "") for name in ("model", "backbone", "settings")}
    return Row(
        dataset=dataset,
        described=described,
        data_arguments=fact(source, "experiment", "data", "init_args") or {},
        experiment=fact(source, "experiment") or {},
    )


def _place(row: Row, record: Record) -> None:
    """Put a record into its slot; a finished one before others, then the newest."""
    key = (record["dataset"].get("category") or "", int(fact(record, "experiment", "seed") or 0))
    slot = row.slots.setdefault(key, Slot(*key))
    rivals = [record, *([slot.counted] if slot.counted else [])]
    rivals.sort(key=lambda r: (r["status"] == "finished", r.get("started") or "", r["key"]))
    slot.counted = rivals.pop()
    slot.superseded += rivals


def _row_key(source: Record, crowded: set, dataset: str | None = None) -> tuple:
    key = _coarse_key(source, dataset)
    if key in crowded:
        arguments = fact(source, "experiment", "data", "init_args") or {}
        return (*key, _text({name: value for name, value in arguments.items() if name != "category"}))
    return key


def _coarse_key(source: Record, dataset: str | None = None) -> tuple:
    """What tells rows apart, without the folders of the data."""
    experiment = source.get("experiment") or {}
    arguments = fact(experiment, "data", "init_args") or {}
    telling = {k: v for k, v in arguments.items() if not is_location(k)}
    model = experiment.get("model") or {name: source.get(name) for name in ("model", "backbone", "settings")}
    named = dataset if dataset is not None else source["dataset"]["name"]
    rest = [experiment.get("trainer"), *(experiment[name] for name in _SECTIONS if name in experiment)]
    return (named, _text(model), _text(rest), _text(telling))


def _crowded(records: Sequence[Record]) -> set[tuple]:
    """Row keys that would put different experiments into one slot."""
    seen: dict[tuple, set] = defaultdict(set)
    for record in records:
        key = _coarse_key(record)
        seen[key, record["dataset"].get("category"), fact(record, "experiment", "seed")].add(
            record.get("experiment_id")
        )
    return {key for (key, _, _), experiments in seen.items() if len(experiments) > 1}


def _data_names(records: Sequence[Record]) -> dict[str, tuple[str, str]]:
    """From data arguments, and from the class alone, to the data set and category that the datamodule calls itself."""
    names = {}
    for record in records:
        dataset = record["dataset"]
        data = fact(record, "experiment", "data") or {}
        names[_text(data)] = (dataset["name"], dataset.get("category") or "")
        names.setdefault(_class_and_name(data), (dataset["name"], ""))
    return names


def _named(entry: Record, names: dict[str, tuple[str, str]]) -> tuple[str, str]:
    """Data set and category of a planned run, as its records would name them."""
    data = fact(entry, "experiment", "data")
    planned = (str(entry.get("dataset") or ""), str(entry.get("category") or ""))
    if data is None:
        known = {dataset.casefold(): dataset for dataset, _ in names.values()}
        return known.get(planned[0].casefold(), planned[0]), planned[1]
    if _text(data) in names:
        return names[_text(data)]
    return names.get(_class_and_name(data), planned)[0], planned[1]


def _class_and_name(data: Record) -> str:
    return _text([data.get("class_path"), fact(data, "init_args", "name")])


def _planned_row(rows: dict[tuple, Row], entry: Record, dataset: str, crowded: set) -> Row:
    """The row that a planned run belongs to, made if there is none yet."""
    if entry.get("experiment"):
        return rows.setdefault(_row_key(entry, crowded, dataset), _row(dataset, entry))
    described = {name: str(entry.get(name) or "") for name in ("model", "backbone", "settings")}
    alike = [row for row in rows.values() if row.dataset == dataset and row.described == described]
    return alike[0] if len(alike) == 1 else rows.setdefault((dataset, _text(described)), _row(dataset, entry))


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
