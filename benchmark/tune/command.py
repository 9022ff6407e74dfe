"""`benchmark tune`: from a configuration to a search, and to a configuration to run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.execute.sweep import shared_layers
from benchmark.plan.experiment import Experiment
from benchmark.plan.grid import expand
from benchmark.plan.validation import OF_TUNE
from benchmark.records.run_files import write_json
from benchmark.tune.part import Part, part_of
from benchmark.tune.result import plain, told, write_results
from benchmark.tune.search import looks_at, search
from benchmark.tune.space import Space, check_space, space_of
from benchmark.tune.trials import Trials
from benchmark.tune.validation import Validation, read_validation
from extensions.configuration import ConfigError
from extensions.runtime.progress import say

NOT_TUNED = ("refinement", "augmentation")
KEPT_KEYS = ("requirement", "images", "log", "resources")
LOCK, FACTS = "tune.lock", "tune.json"


@dataclass(frozen=True)
class Plan:
    """What a configuration asks to be searched.

    Attributes:
        name: Of the configuration.
        experiments: One a detector and data set, at the first seed.
        validation: Which images are looked at.
        spaces: What is tried of each detector.
        left_out: Sentences about what is not tried.
        seeds: Of the runs that follow.
        kept: Keys of the configuration that those take, too.
    """

    name: str
    experiments: list[Experiment]
    validation: Validation
    spaces: list[Space]
    left_out: list[str]
    seeds: list[int]
    kept: dict[str, Any]

    @property
    def data(self) -> list[dict[str, Any]]:
        """The data sets, each once."""
        return _distinct([one.data for one in self.experiments])

    def trainer(self, space: Space) -> dict[str, Any]:
        """Of a detector."""
        return next(one.trainer for one in self.experiments if one.model == space.model)


def read_plan(config: dict[str, Any], *, folder: Path = Path(), data_root: Path | None = None, name: str = "") -> Plan:
    """Check a configuration, before any image is looked at.

    Raises:
        ConfigError: As `benchmark.plan.grid.expand`, or a key that only one of `run` and `tune` knows.
    """
    for key in NOT_TUNED:
        if config.get(key):
            msg = f"{key}: no settings are searched for under it; leave it out of the config for tune, and add it to "
            msg += "best.yaml afterwards"
            raise ConfigError(msg)
    validation = read_validation(config.get("validation"))
    rest = {key: value for key, value in config.items() if key not in OF_TUNE}
    experiments = expand(rest, folder=folder, data_root=data_root)
    seeds = list(dict.fromkeys(one.seed for one in experiments))
    first = [one for one in experiments if one.seed == seeds[0]]
    models = _distinct([one.model for one in first])
    given = check_space(config.get("space"), models)
    found = [space_of(model, given) for model in models]
    left_out = list(dict.fromkeys(sentence for _, sentences in found for sentence in sentences))
    kept = {key: config[key] for key in KEPT_KEYS if config.get(key) is not None}
    return Plan(
        str(config.get("name") or name), first, validation, [space for space, _ in found], left_out, seeds, kept
    )


def tune(
    plan: Plan, output: Path, *, budget: float, data_root: Path | None = None, command: str = "", progress: bool = True
) -> list[Path]:
    """Search, and write what was found; a search that was cut goes on where it stopped.

    Args:
        plan: Of `read_plan`.
        output: Folder of the trials and results.
        budget: Seconds that trials may take, those of earlier calls on this folder included.
        data_root: Where relative data roots start.
        command: For the head of `best.yaml`.
        progress: Whether to show a bar.

    Raises:
        ConfigError: The folder holds another search, or data that cannot be searched on.
        TuneError: The default settings fail.
    """
    from filelock import FileLock, Timeout

    output.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(output / LOCK, timeout=0):
            return _tune(plan, output, budget=budget, data_root=data_root, command=command, progress=progress)
    except Timeout:
        msg = f"{output}: another search is at work in this folder; wait for it, or give another --output"
        raise ConfigError(msg) from None


def _tune(
    plan: Plan, output: Path, *, budget: float, data_root: Path | None, command: str, progress: bool
) -> list[Path]:
    seed = plan.seeds[0]
    parts = [part_of(spec, plan.validation, data_root=data_root, seed=seed) for spec in plan.data]
    for sentence in plan.left_out:
        say(sentence)
    for part in parts:
        say(part.told)
    check_same_search(output, facts_of(plan, parts))
    looks = looks_at(parts, seed=plan.validation.seed)
    names = _names(plan.spaces)
    detectors = [
        (Trials(output, name, space, n_steps=len(looks), seed=seed), plan.trainer(space))
        for name, space in zip(names, plan.spaces, strict=True)
    ]

    for trials, _ in detectors:
        trials.lead()  # what is damaged is told before any trial

    def write() -> list[Path]:
        return write_results(
            output,
            detectors,
            name=f"{plan.name}_tuned",
            data=[part.data for part in parts],
            seeds=plan.seeds,
            kept=plan.kept,
            validation=plan.validation.told,
            command=command,
        )

    search(detectors, looks, budget=budget, layers=_layers_of(plan), seed=seed, after=write, progress=progress)
    for trials, _ in detectors:
        for line in told(trials):
            say(line)
    return write()


def facts_of(plan: Plan, parts: Sequence[Part]) -> dict[str, Any]:
    """What decides the trials of a folder: a search that differs in any of it is another one."""
    from extensions.data import fingerprint

    return {
        "validation": plan.validation.on_disk,
        "detectors": [
            {"model": plain(one.model), "space": {dim.name: dim.choices for dim in one.dimensions}}
            for one in plan.spaces
        ],
        "data": [
            {
                "name": part.name,
                "sha256": fingerprint(part.datamodule).sha256,
                "n_train": len(part.train),
                "good": [part.datamodule.relative(path) for path in part.good["image_path"]],
                "bad": [part.datamodule.relative(path) for path in part.bad["image_path"]],
            }
            for part in parts
        ],
    }


def check_same_search(output: Path, facts: Mapping[str, Any]) -> None:
    """Write down what is searched, or find it as it was.

    Raises:
        ConfigError: The folder holds a search that differs; it says in what.
    """
    path = output / FACTS
    if not path.is_file():
        write_json(path, dict(facts))
        return
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        known = {}
    now = json.loads(json.dumps(facts))
    differing = [name for name in now if known.get(name) != now[name]]
    if differing:
        msg = (
            f"{output}: holds a search with other {' and '.join(differing)} ({path.name} says which); trials of both "
            "would not compare: give another --output, or delete the folder"
        )
        raise ConfigError(msg)


def _layers_of(plan: Plan) -> Any:
    """By model, what any trial asks of its backbone: one pass over the images serves all of them."""

    def layers(model: dict[str, Any]) -> tuple[str, ...]:
        backbone = Experiment(model=model, data=plan.data[0]).backbone
        asked: set[str] = set()
        for space in plan.spaces:
            tried = {one.name: one.choices for one in space.dimensions}
            fixed = {"backbone": backbone} if backbone in tried.get("backbone", ()) else {}
            for value in tried.get("layers", ()):
                with suppress(ValueError):  # this backbone has no such layers: that trial itself will say so
                    model = space.at({**space.default, **fixed, "layers": value})
                    one = Experiment(model=model, data=plan.data[0])
                    if one.backbone == backbone:
                        asked |= {name for _, found in shared_layers([one]) for name in found}
        return tuple(sorted(asked))

    return layers


def _names(spaces: Sequence[Space]) -> list[str]:
    """By class; with a number where several detectors are of one."""
    kinds = [str(space.model["class_path"]).rsplit(".", 1)[-1] for space in spaces]
    return [
        kind if kinds.count(kind) == 1 else f"{kind} {kinds[: place + 1].count(kind)}"
        for place, kind in enumerate(kinds)
    ]


def _distinct(specs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({json.dumps(plain(spec), sort_keys=True, default=str): spec for spec in specs}.values())
