"""Entries of a grid: a mapping with `{grid: [...]}` values in it, or the name of a file that holds one."""

import copy
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extensions.configuration.document import load_config
from extensions.configuration.errors import ConfigError


def data_entries(entries: Sequence[Any], folder: Path) -> list[dict[str, Any]]:
    """The data sets of a list `data:`, every grid in it expanded.

    Args:
        entries: `{class_path, init_args}` or `{config: file}`.
        folder: That such files are relative to.

    Raises:
        ConfigError: A malformed entry.
    """
    return [found for entry in entries for found in variants(entry_of(entry, "data", folder))]


def entry_of(entry: dict[str, Any], section: str, folder: Path) -> dict[str, Any]:
    """One entry of `models` or `data`, its `config:` file loaded and overlaid by its own values."""
    named = isinstance(entry, dict) and (
        isinstance(entry.get("config"), str) or isinstance(entry.get("class_path"), str | dict)
    )
    if not named:
        msg = f"an entry of {section!r} needs 'class_path' (or 'config': a file), found {entry!r}"
        raise ConfigError(msg)
    spec = {**entry, "init_args": check_mapping(entry.get("init_args"), f"init_args in {section!r}")}
    if "config" not in entry:
        return spec
    own = {"models": "model"}.get(section, section)
    path = folder / spec.pop("config")
    loaded = load_config(path)
    if not isinstance(loaded.get(own), dict):
        msg = f"{path}: no section {own!r} in this file"
        raise ConfigError(msg)
    merged = {**copy.deepcopy(loaded[own]), **spec}
    merged["init_args"] = {**check_mapping(loaded[own].get("init_args"), f"{path}: init_args"), **spec["init_args"]}
    if own == "model":
        trainers = [check_mapping(found.get("trainer"), "trainer") for found in (loaded, spec)]
        merged["trainer"] = trainers[0] | trainers[1]
    return merged


def variants(spec: Any) -> list[Any]:
    """Every combination of the `{grid: [...]}` values inside `spec`."""
    if isinstance(spec, dict):
        if "grid" in spec:
            if spec.keys() != {"grid"} or not isinstance(spec["grid"], list) or not spec["grid"]:
                msg = f"found {spec!r}, expected a list of values and nothing else, such as {{grid: [0.01, 0.1]}}"
                raise ConfigError(msg)
            return [variant for value in spec["grid"] for variant in variants(value)]
        combinations = itertools.product(*(variants(value) for value in spec.values()))
        return [dict(zip(spec, values, strict=True)) for values in combinations]
    if isinstance(spec, list):
        return [list(values) for values in itertools.product(*(variants(value) for value in spec))]
    return [spec]


def check_mapping(value: Any, where: str) -> dict[str, Any]:
    """The value, an empty mapping for nothing.

    Raises:
        ConfigError: It is neither a mapping nor nothing.
    """
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        msg = f"{where}: found {value!r}, expected names with values such as 'name: value'"
        raise ConfigError(msg)
    return value
