"""A model or datamodule from its entry in a config, by the same rules as anomalib's CLI."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extensions.configuration.classes import (
    base_class,
    import_class,
    init_parameters,
    known_classes,
    resolve_class_path,
)
from extensions.configuration.early import check_spec_names
from extensions.configuration.errors import ConfigError, did_you_mean, explain

if TYPE_CHECKING:
    from anomalib.data import AnomalibDataModule
    from anomalib.models import AnomalibModule
    from jsonargparse import ArgumentParser, Namespace
    from lightning.pytorch import Callback
    from lightning.pytorch.loggers import Logger

SPEC_KEYS = ("class_path", "init_args", "dict_kwargs")


def instantiate_model(spec: dict[str, Any] | str) -> AnomalibModule:
    """Build a model from `{"class_path": "extensions.Patchcore", "init_args": {...}}`; nested components likewise.

    A short name stands for our class if there is one, else for anomalib's.

    Raises:
        ConfigError: Unknown class, unknown init argument or a value of the wrong type. What the model's own
            constructor raises (layers, weights) passes through.
    """
    return _instantiate(spec, "model")


def instantiate_data(spec: dict[str, Any] | str, data_root: Path | None = None) -> AnomalibDataModule:
    """Build a datamodule from its entry in a config; see `instantiate_model` and `with_data_root`."""
    return _instantiate(with_data_root(spec, "data", data_root), "data")


def with_data_root(spec: dict[str, Any] | str, role: str, data_root: Path | None) -> dict[str, Any] | str:
    """An entry with a data root, where its class takes a `data_root` and the entry gives none."""
    if data_root is None:
        return spec
    checked = checked_spec(spec, role)
    kind = import_class(checked["class_path"], role, known_classes(role))
    given = {"data_root": str(data_root)} if "data_root" in init_parameters(kind) else {}
    return checked | {"init_args": given | checked["init_args"]}


def instantiate_callback(spec: dict[str, Any] | str) -> Callback:
    """Build a trainer callback from its entry under `trainer.callbacks`; see `instantiate_model`."""
    return _instantiate(spec, "callback")


def instantiate_logger(spec: dict[str, Any] | str) -> Logger:
    """Build a logger of Lightning's from its entry under `trainer.logger`; see `instantiate_model`."""
    return _instantiate(spec, "logger")


def describe_model(spec: dict[str, Any] | str) -> dict[str, Any]:
    """The entry as plain JSON data with every default filled in and class paths in their one spelling.

    Two entries that would build the same model are equal; nothing is built.

    Raises:
        ConfigError: As in `instantiate_model`.
    """
    return _describe(spec, "model")


def describe_data(spec: dict[str, Any] | str) -> dict[str, Any]:
    """As `describe_model`, for a datamodule's entry."""
    return _describe(spec, "data")


def check_model(spec: dict[str, Any] | str) -> None:
    """Raise what `instantiate_model` would of the entry itself; nothing is built.

    Raises:
        ConfigError: As in `instantiate_model`.
    """
    _parse(spec, "model")


def check_data(spec: dict[str, Any] | str) -> None:
    """As `check_model`, for a datamodule's entry."""
    _parse(spec, "data")


def checked_spec(spec: Any, role: str) -> dict[str, Any]:
    """An entry of a config with its class found and its own keys known; init arguments are not looked at.

    Raises:
        ConfigError: No class named, an unknown class, or a key that belongs under `init_args`.
    """
    if isinstance(spec, str):
        spec = {"class_path": spec}
    if not isinstance(spec, dict) or not isinstance(spec.get("class_path"), str):
        msg = f"{role}: expected 'class_path: extensions.…' and its 'init_args:', found {spec!r}"
        raise ConfigError(msg)
    for key in spec:
        if key not in SPEC_KEYS:
            near = did_you_mean(str(key), SPEC_KEYS)
            msg = f"{role}: unknown key {key!r} beside class_path; arguments stand under init_args{near}"
            raise ConfigError(msg)
    check_spec_names(spec, role)  # what can be told without torch and anomalib
    checked = copy.deepcopy(spec)
    checked["class_path"] = resolve_class_path(spec["class_path"], role)
    if not isinstance(checked.setdefault("init_args", {}) or {}, dict):
        msg = f"{role}.init_args: expected a mapping, found {spec['init_args']!r}"
        raise ConfigError(msg)
    checked["init_args"] = checked["init_args"] or {}
    return checked


class ConstructorErrors:
    """Lets a constructor's own error out of jsonargparse, which buries it in a list of all types it tried.

    Register with `parser.add_instantiator(errors, object)` and build inside `with errors:`.
    """

    def __init__(self) -> None:
        self.first: Exception | None = None

    def __call__(self, class_type: type, *args: Any, **kwargs: Any) -> Any:
        """Build one object, keeping the first error."""
        try:
            return class_type(*args, **kwargs)
        except Exception as error:
            self.first = self.first or error
            raise

    def __enter__(self) -> ConstructorErrors:
        """Start afresh."""
        self.first = None
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        """Raise the constructor's error in place of jsonargparse's."""
        if error is not None and self.first is not None and error is not self.first:
            raise self.first from self.first.__cause__


def _parse(spec: Any, role: str) -> tuple[ArgumentParser, Namespace]:
    """An entry parsed and completed, with the parser that did it."""
    from jsonargparse import ArgumentError, ArgumentParser

    checked = checked_spec(spec, role)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(base_class(role), role, fail_untyped=False, required=True)
    try:
        return parser, parser.parse_object({role: checked})
    except ArgumentError as error:
        raise ConfigError(explain(str(error))) from error


def _instantiate(spec: Any, role: str) -> Any:
    """Build an entry's object."""
    parser, parsed = _parse(spec, role)
    errors = ConstructorErrors()
    parser.add_instantiator(errors, object)
    with errors:
        return parser.instantiate_classes(parsed)[role]


def _describe(spec: Any, role: str) -> dict[str, Any]:
    """An entry as plain, complete data."""
    parser, parsed = _parse(spec, role)
    return json.loads(parser.dump(parsed, format="json", skip_none=False))[role]
