"""Which ensembles of the runs of a sweep are judged: `ensembles: {sizes: [2, 3], combine: [mean]}`."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.plan.experiment import MEMBERS, Experiment, constructor_defaults
from extensions.configuration import ConfigError
from extensions.configuration.errors import did_you_mean
from extensions.models.ensemble.combine import COMBINE

ENSEMBLE = "extensions.Ensemble"
KEYS = ("sizes", "combine")
SMALLEST, MOST = 2, 5  # members: of ten detectors there are 45 pairs and 252 fives


@dataclass(frozen=True)
class EnsemblePlan:
    """What is asked for.

    Attributes:
        sizes: How many members.
        combine: How their scores become one.
    """

    sizes: tuple[int, ...] = (2,)
    combine: tuple[str, ...] = ("mean",)


@dataclass(frozen=True)
class PlannedEnsemble:
    """An ensemble of runs of one data set, category and seed.

    Attributes:
        experiment: That fits it, as a configuration with its members would have it.
        members: The runs that it is judged from.
    """

    experiment: Experiment
    members: tuple[Experiment, ...]

    @property
    def combine(self) -> str:
        """How scores become one."""
        return str(self.experiment.model["init_args"].get("combine", "mean"))


def read_ensembles(section: Any) -> EnsemblePlan | None:
    """The section `ensembles` of a benchmark configuration; None where there is none.

    Raises:
        ConfigError: An unknown key, or a value that cannot be.
    """
    if section is None:
        return None
    if not isinstance(section, Mapping):
        msg = f"ensembles: found {section!r}, expected a mapping such as {{sizes: [2, 3], combine: [mean]}}"
        raise ConfigError(msg)
    for key in section:
        if key not in KEYS:
            near = did_you_mean(str(key), KEYS)
            msg = f"ensembles: unknown key {key!r}, expected one of {', '.join(KEYS)}{near}"
            raise ConfigError(msg)
    sizes, ways = _listed(section.get("sizes", [2])), _listed(section.get("combine", ["mean"]))
    if not sizes or not all(type(size) is int and SMALLEST <= size <= MOST for size in sizes):
        msg = f"ensembles.sizes: found {section.get('sizes')!r}, expected whole numbers from {SMALLEST} to {MOST}"
        raise ConfigError(msg)
    if not ways or not all(way in COMBINE for way in ways):
        msg = f"ensembles.combine: found {section.get('combine')!r}, expected {' or '.join(COMBINE)}, or a list of both"
        raise ConfigError(msg)
    return EnsemblePlan(tuple(dict.fromkeys(sizes)), tuple(dict.fromkeys(ways)))


def planned_ensembles(experiments: Sequence[Experiment], plan: EnsemblePlan | None) -> list[PlannedEnsemble]:
    """All pairs, triples … of the experiments on the same data with the same seed, but for those asked for anyway.

    Left out are ensembles themselves, refinements, and runs whose images are augmented: those have no place in an
    `extensions.Ensemble`.
    """
    if plan is None:
        return []
    groups: dict[str, list[Experiment]] = {}
    for one in experiments:
        is_plain = one.refinement is None and not one.augmentations and not _is_ensemble(one)
        if is_plain:
            groups.setdefault(json.dumps([one.data, one.seed], sort_keys=True, default=str), []).append(one)
    asked = {one.experiment_id for one in experiments}
    found = [
        PlannedEnsemble(ensemble_of(members, combine), members)
        for alike in groups.values()
        for size in plan.sizes
        for members in itertools.combinations(alike, size)
        for combine in plan.combine
    ]
    return [one for one in found if one.experiment.experiment_id not in asked]


def ensemble_of(members: Sequence[Experiment], combine: str) -> Experiment:
    """The experiment that fits these as an ensemble."""
    first = members[0]
    entries = [
        {"class_path": one.model["class_path"], "init_args": one.model.get("init_args") or {}}
        | ({"trainer": one.trainer} if one.trainer else {})
        for one in members
    ]
    arguments: dict[str, Any] = {MEMBERS: entries} | ({} if combine == "mean" else {"combine": combine})
    return Experiment(model={"class_path": ENSEMBLE, "init_args": arguments}, data=first.data, seed=first.seed)


def _is_ensemble(experiment: Experiment) -> bool:
    return MEMBERS in constructor_defaults(experiment.model["class_path"], "model")


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
