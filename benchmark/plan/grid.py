"""From one YAML to a list of experiments: models x backbones x settings x data sets x seeds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark.plan.experiment import Experiment, constructor_defaults
from benchmark.plan.validation import (
    check_config,
    check_experiments,
    check_fitted_on,
    check_mapping,
    check_resources,
    requirement_of,
)
from extensions.configuration.variants import data_entries, entry_of, variants


def expand(config: dict[str, Any], *, folder: Path = Path()) -> list[Experiment]:
    """List the experiments of a benchmark configuration, in the order they are run.

    `models` and `data` are lists of `{class_path, init_args}`, or `{config: file}` naming a configuration of the
    command line whose section is taken (relative to `folder`); a model may bring its own `trainer` and its own
    `resources` (`cpus` and `gpus` of a run, for Ray). A value
    `{grid: [a, b]}` anywhere in them is replaced by each of its values. `backbones` holds names, or mappings with
    `backbone`, `layers`, `weights`; a model that names its own backbone, or takes none, is not multiplied.
    Each experiment is run once for every entry of `refinement`, where there are some; `null` trains on all images.
    The same holds for `augmentation`: one entry or a list of them, of which each may be a list of two, one for training
    and one for test images; `null` augments nothing.
    Data sets vary slowest, then seeds, then models: the first rows of the table are complete soonest.

    What stands there twice is run once.

    Raises:
        ConfigError: An unknown key, class or argument, an empty list or a malformed entry.
    """
    check_config(config)
    models = [found for entry in config["models"] for found in _expand_model(entry, config, folder)]
    section = config.get("augmentation")
    entries = section if isinstance(section, list) and section else [section]
    augmentations = [found for entry in entries for found in variants(entry)]
    data = data_entries(config["data"], folder)
    refinements = [found for entry in config.get("refinement") or [None] for found in variants(entry)]
    experiments = check_experiments(
        [
            Experiment(
                model=model,
                data=spec,
                trainer=trainer,
                seed=seed,
                refinement=refinement,
                augmentation=augmentation,
                resources=resources,
            )
            for spec, seed, (model, trainer, resources), refinement, augmentation in itertools.product(
                data, config.get("seeds") or [0], models, refinements, augmentations
            )
        ]
    )
    check_fitted_on(requirement_of(config), experiments)
    return experiments


def _expand_model(
    entry: dict[str, Any], config: dict[str, Any], folder: Path
) -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, float]]]:
    for variant in variants(entry_of(entry, "models", folder)):
        trainer = {**(config.get("trainer") or {}), **check_mapping(variant.pop("trainer", None), "trainer")}
        resources = {**(config.get("resources") or {}), **check_resources(variant.pop("resources", None))}
        arguments = check_mapping(variant["init_args"], "init_args in 'models'")
        backbones = config.get("backbones") or []
        takes_one = "backbone" in constructor_defaults(variant["class_path"], "model")
        if "backbone" in arguments or not backbones or not takes_one:
            yield variant, trainer, resources
            continue
        for backbone in backbones:
            named = backbone if isinstance(backbone, dict) else {"backbone": backbone}
            yield {**variant, "init_args": {**named, **arguments}}, trainer, resources
