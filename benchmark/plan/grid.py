"""From one YAML to a list of experiments: models x backbones x settings x data sets x seeds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.plan.experiment import Experiment, constructor_defaults
from benchmark.plan.products import per_product
from benchmark.plan.validation import (
    check_config,
    check_experiments,
    check_fitted_on,
    check_mapping,
    check_resources,
    check_seeds,
    requirement_of,
)
from extensions.configuration.early import check_spec_names, check_trainer_names
from extensions.configuration.variants import data_entries, entry_of, variants


@dataclass(frozen=True)
class ModelEntry:
    """One model of the grid with what it alone may bring."""

    model: dict[str, Any]
    trainer: dict[str, Any]
    resources: dict[str, float]
    seeds: tuple[int, ...]


def expand(config: dict[str, Any], *, folder: Path = Path(), data_root: Path | None = None) -> list[Experiment]:
    """List the experiments of a benchmark configuration, in the order they are run.

    `models` and `data` are lists of `{class_path, init_args}`, or `{config: file}` naming a configuration of the
    command line whose section is taken (relative to `folder`); a model may bring its own `trainer`, its own `seeds`
    (one that is fitted in seconds can afford more) and its own `resources` (`cpus` and `gpus` of a run, for Ray). A
    value `{grid: [a, b]}` anywhere in them is replaced by each of its values. `backbones` holds names, or mappings with
    `backbone`, `layers`, `weights`; a model that names its own backbone, or takes none, is not multiplied.
    Each experiment is run once for every entry of `refinement`, where there are some; `null` trains on all images.
    The same holds for `augmentation`: one entry or a list of them, of which each may be a list of two, one for training
    and one for test images; `null` augments nothing.
    Data sets vary slowest, then seeds, then models: the table has every row soonest, and the spread of each last.

    A data set of several products is one run for each, which tests it alone: products vary fastest, so that runs which
    share a fit follow each other, see `per_product`. Which products there are may be told by the folders below
    `data_root` alone (None: `$WORKBENCH_DATA`, else the working directory).

    What stands there twice is run once.

    Raises:
        ConfigError: An unknown key, class or argument, an empty list or a malformed entry.
    """
    check_config(config)
    data = data_entries(config["data"], folder)
    for spec in data:
        check_spec_names(spec, "data")
    models = [found for entry in config["models"] for found in _expand_model(entry, config, folder)]
    section = config.get("augmentation")
    entries = section if isinstance(section, list) and section else [section]
    augmentations = [found for entry in entries for found in variants(entry)]
    refinements = [found for entry in config.get("refinement") or [None] for found in variants(entry)]
    refined = any(refinement is not None for refinement in refinements)
    products = [per_product(spec, refined=refined, data_root=data_root) for spec in data]
    seeds = list(dict.fromkeys(seed for entry in models for seed in entry.seeds))
    experiments = check_experiments(
        [
            Experiment(
                model=entry.model,
                data=spec,
                trainer=entry.trainer,
                seed=seed,
                refinement=refinement,
                augmentation=augmentation,
                resources=entry.resources,
            )
            for tested, seed, entry, refinement, augmentation in itertools.product(
                products, seeds, models, refinements, augmentations
            )
            if seed in entry.seeds
            for spec in tested
        ]
    )
    check_fitted_on(requirement_of(config), experiments)
    return experiments


def _expand_model(entry: dict[str, Any], config: dict[str, Any], folder: Path) -> Iterator[ModelEntry]:
    named = entry_of(entry, "models", folder)
    seeds = check_seeds(named.pop("seeds", None) or config.get("seeds") or [0])
    for variant in variants(named):
        trainer = {**(config.get("trainer") or {}), **check_mapping(variant.pop("trainer", None), "trainer")}
        resources = {**(config.get("resources") or {}), **check_resources(variant.pop("resources", None))}
        arguments = check_mapping(variant["init_args"], "init_args in 'models'")
        check_spec_names(variant, "model")
        check_trainer_names(trainer)
        backbones = config.get("backbones") or []
        takes_one = "backbone" in constructor_defaults(variant["class_path"], "model")
        if "backbone" in arguments or not backbones or not takes_one:
            yield ModelEntry(variant, trainer, resources, seeds)
            continue
        for backbone in backbones:
            told = backbone if isinstance(backbone, dict) else {"backbone": backbone}
            yield ModelEntry({**variant, "init_args": {**told, **arguments}}, trainer, resources, seeds)
