"""From one YAML to a list of experiments: models x backbones x settings x data sets x seeds."""

from __future__ import annotations

import copy
import difflib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark.experiment import Experiment, constructor_defaults
from extensions.configuration import ConfigError, load_config

KEYS = ("name", "models", "backbones", "data", "seeds", "trainer", "keep", "pictures")
KEEP = ("best", "all", "none")


def expand(config: dict[str, Any], *, folder: Path = Path()) -> list[Experiment]:
    """List the experiments of a benchmark configuration, in the order they are run.

    `models` and `data` are lists of `{class_path, init_args}`, or `{config: file}` naming a configuration of the
    command line whose section is taken (relative to `folder`); a model may bring its own `trainer`. A value
    `{grid: [a, b]}` anywhere in them is replaced by each of its values. `backbones` holds names, or mappings with
    `backbone`, `layers`, `weights`; a model that names its own backbone, or takes none, is not multiplied.
    Data sets vary slowest, then seeds, then models: the first rows of the table are complete soonest.

    Raises:
        ConfigError: An unknown key, an empty list or a malformed entry.
    """
    _check(config)
    models = [found for entry in config["models"] for found in _expand_model(entry, config, folder)]
    data = [found for entry in config["data"] for found in _grid(_section(entry, "data", folder))]
    return [
        Experiment(model=model, data=spec, trainer=trainer, seed=int(seed))
        for spec, seed, (model, trainer) in itertools.product(data, config.get("seeds") or [0], models)
    ]


def _check(config: dict[str, Any]) -> None:
    for key in config:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            msg = f"unknown key {key!r} in a benchmark configuration, expected one of {', '.join(KEYS)}{hint}"
            raise ConfigError(msg)
    for key in ("models", "data"):
        if not isinstance(config.get(key), list) or not config[key]:
            msg = f"a benchmark configuration needs a list {key!r} with at least one entry, found {config.get(key)!r}"
            raise ConfigError(msg)
    if config.get("keep", "best") not in KEEP:
        msg = f"keep: found {config['keep']!r}, expected one of {', '.join(KEEP)}"
        raise ConfigError(msg)


def _section(entry: dict[str, Any], section: str, folder: Path) -> dict[str, Any]:
    """One entry of `models` or `data`, its `config:` file loaded and overlaid by its own values."""
    if not isinstance(entry, dict) or not entry.keys() & {"class_path", "config"}:
        msg = f"an entry of {section!r} needs 'class_path' (or 'config': a file), found {entry!r}"
        raise ConfigError(msg)
    if "config" not in entry:
        return entry
    loaded = load_config(folder / entry["config"])
    if section not in loaded:
        msg = f"{folder / entry['config']}: no section {section!r} in this file"
        raise ConfigError(msg)
    merged = copy.deepcopy(loaded[section])
    merged["init_args"] = {**merged.get("init_args", {}), **entry.get("init_args", {})}
    if section == "model":
        merged["trainer"] = {**loaded.get("trainer", {}), **entry.get("trainer", {})}
    return merged


def _expand_model(
    entry: dict[str, Any], config: dict[str, Any], folder: Path
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    spec = _section(entry, "model" if "config" in entry else "models", folder)
    for variant in _grid(spec):
        trainer = {**(config.get("trainer") or {}), **(variant.pop("trainer", None) or {})}
        arguments = variant.setdefault("init_args", {})
        backbones = config.get("backbones") or []
        if "backbone" in arguments or not backbones or not _takes_backbone(variant["class_path"]):
            yield variant, trainer
            continue
        for backbone in backbones:
            named = backbone if isinstance(backbone, dict) else {"backbone": backbone}
            yield {**variant, "init_args": {**named, **arguments}}, trainer


def _takes_backbone(class_path: str) -> bool:
    """Whether the model's constructor has an argument `backbone`."""
    return "backbone" in constructor_defaults(class_path, "model")


def _grid(spec: Any) -> list[Any]:
    """Every combination of the `{grid: [...]}` values inside `spec`."""
    if isinstance(spec, dict):
        if spec.keys() == {"grid"}:
            return [variant for value in spec["grid"] for variant in _grid(value)]
        combinations = itertools.product(*(_grid(value) for value in spec.values()))
        return [dict(zip(spec, values, strict=True)) for values in combinations]
    if isinstance(spec, list):
        return [list(values) for values in itertools.product(*(_grid(value) for value in spec))]
    return [spec]
