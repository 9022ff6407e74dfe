"""Wrong names told at once: classes and arguments held against their sources, before torch and anomalib are imported.

What cannot be told surely is left to the full check, which every config passes afterwards. Once anomalib is imported
nothing is looked at here: classes of a running program need no file, and the full check takes no longer.
"""

import importlib
import sys
from collections.abc import Iterable
from typing import Any

from extensions.configuration.classes import nearby_classes
from extensions.configuration.errors import ConfigError, unknown_argument, unknown_trainer_argument
from extensions.configuration.signatures import exported, find_class, parameter_names

# Package as class paths name it, the module that lists its classes, the base of them.
SOURCES = {
    "model": (
        ("anomalib.models", "anomalib.models", "AnomalibModule"),
        ("extensions", "extensions.models", "AnomalibModule"),
    ),
    "data": (
        ("anomalib.data", "anomalib.data", "AnomalibDataModule"),
        ("extensions", "extensions.data.datamodules", "AnomalibDataModule"),
    ),
}
TRAINER = "lightning.pytorch.trainer.trainer.Trainer"


def is_early() -> bool:
    """Whether anomalib is still to be imported."""
    return "anomalib" not in sys.modules


def check_spec_names(spec: Any, role: str) -> None:
    """Refuse a class that does not exist, or an argument that its class does not take.

    Args:
        spec: An entry of a config; one of another form is left to the full check.
        role: `model` or `data`.

    Raises:
        ConfigError: Its sentence is the one of the full check.
    """
    if not is_early() or role not in SOURCES:
        return
    spec = {"class_path": spec} if isinstance(spec, str) else spec
    path = _checked_path(spec["class_path"], role) if isinstance(spec, dict) and "class_path" in spec else None
    if path is not None and isinstance(spec.get("init_args"), dict) and "dict_kwargs" not in spec:
        check_argument_names(spec["init_args"], path, role)


def check_argument_names(names: Iterable[str], path: str, role: str) -> None:
    """Refuse an argument that the class at `path` does not take; a class that is not found here takes all.

    Raises:
        ConfigError: There is one.
    """
    known = parameter_names(_source(path, role))
    for name in names:
        if known is not None and name not in known:
            raise ConfigError(unknown_argument(role, path, str(name), known))


def check_trainer_names(trainer: Any) -> None:
    """Refuse what Lightning's Trainer does not take, once more before anything is imported.

    Raises:
        ConfigError: There is an unknown name.
    """
    known = (is_early() and parameter_names(TRAINER)) or None
    for name in trainer if isinstance(trainer, dict) else ():
        if known is not None and name not in known:
            raise ConfigError(unknown_trainer_argument(str(name), known))


def class_path_of(name: str, role: str) -> str | None:
    """The path of a short name, as `resolve_class_path` finds it; None for a path, and for what is not known here."""
    listed = (package for package, module, _ in reversed(SOURCES[role]) if name in exported(module))
    return next((f"{package}.{name}" for package in listed), None) if name.isidentifier() else None


def listed_classes(role: str) -> dict[str, str]:
    """As `known_classes`, from the sources alone."""
    found: dict[str, str] = {}
    for package, module, base in SOURCES[role]:
        for name in exported(module):
            source = find_class(f"{module}.{name}")
            if name != base and source is not None and base in source.ancestors():
                found[name] = f"{package}.{name}"
    return found


def _checked_path(name: Any, role: str) -> str | None:
    """The path of a class that is listed here; None for one that only an import can find."""
    if not isinstance(name, str):
        return None
    package, _, short = name.rpartition(".")
    if not package:
        path = class_path_of(name, role)
        if path is None and name.isidentifier():
            msg = f"{role}: there is no class {name!r}{nearby_classes(name, listed_classes(role))}"
            raise ConfigError(msg)
        return path
    places = [module for listed, module, _ in SOURCES[role] if listed == package]
    if not places or not short[:1].isupper():
        return None
    if package == "extensions" and short in importlib.import_module(package).__all__:
        return name
    if short not in exported(places[0]) and find_class(f"{places[0]}.{short}") is None:
        msg = f"{role}: there is no class {name!r} to import{nearby_classes(name, listed_classes(role))}"
        raise ConfigError(msg)
    return name


def _source(path: str, role: str) -> str:
    """Where the class at a path is listed: `extensions.Padim` in `extensions.models`."""
    package, _, short = path.rpartition(".")
    module = next((module for listed, module, _ in SOURCES[role] if listed == package), package)
    return f"{module}.{short}"
