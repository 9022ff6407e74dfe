"""From a model or datamodule as Python makes it to its entry in a config."""

import importlib
import inspect
import itertools
import logging
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

from extensions.configuration.classes import ROLES, base_class, init_parameters
from extensions.configuration.components import (
    checked_spec,
    describe_data,
    describe_model,
    instantiate_data,
    instantiate_model,
)
from extensions.configuration.differences import difference, sample_difference
from extensions.configuration.errors import ConfigError
from extensions.configuration.given_arguments_mixin import RemembersArguments, given_arguments
from extensions.configuration.python_numbers import python_numbers

logger = logging.getLogger(__name__)

_BUILD = {"model": instantiate_model, "data": instantiate_data}
_DESCRIBE = {"model": describe_model, "data": describe_data}
_NOT_DATA = object()  # what no entry of a config can hold


def spec_of(
    given: Any, role: str, *, check: bool = True, set_up_as: Callable[[Any, Any], bool] | None = None
) -> dict[str, Any]:
    """The entry of a config that stands for `given`, with the class path in its one spelling.

    An object is described by the arguments it was given. What is run is built anew from them, so that nothing the
    object went through plays a part; one that was changed since it was made is refused.

    Args:
        given: An entry of a config, a class, its name, or an object.
        role: `model` or `data`.
        check: Whether an object is held against one that is built from its arguments.
        set_up_as: Sets a datamodule up as another one was, and says whether it could; without it the samples of one
            that was set up are not compared. `extensions.data.datamodules.stock.set_up_as` does it.

    Raises:
        ConfigError: Nothing of the kind, or an object that its arguments do not describe.

    Example:
        >>> spec_of(Patchcore("resnet18"), "model")
        {'class_path': 'extensions.Patchcore', 'init_args': {'backbone': 'resnet18'}}
    """
    if isinstance(given, Mapping | str):
        checked = checked_spec(python_numbers(given), role)
        _check_module(checked["class_path"], role)
        return checked
    base = base_class(role)
    if inspect.isclass(given) and issubclass(given, base):
        return checked_spec(_path(given, role), role)
    if not isinstance(given, base):
        msg = (
            f"{role}: found {_short(given)}, expected an {ROLES[role][1]}, the name of its class, or a mapping with "
            "class_path and init_args"
        )
        raise ConfigError(msg)
    spec = {"class_path": _path(type(given), role), "init_args": _arguments(given, role)}
    if check:
        _check_unchanged(given, spec, role, set_up_as)
    return checked_spec(spec, role)


def _path(kind: type, role: str) -> str:
    """Where a class is found by its shortest path: `extensions.Padim`, `anomalib.models.Padim`, else its module's."""
    path = f"{kind.__module__}.{kind.__qualname__}"
    if "<locals>" in path:
        msg = (
            f"{role}: {kind.__name__} is defined inside a function, where no other process finds it; define it outside"
        )
        raise ConfigError(msg)
    _check_module(path, role)
    for package in ("extensions", ROLES[role][0]):
        if getattr(importlib.import_module(package), kind.__name__, None) is kind:
            return f"{package}.{kind.__name__}"
    return path


def _check_module(path: str, role: str) -> None:
    """Refuse a class of a script or notebook: a record names it by a path that may stand for other code each time.

    Raises:
        ConfigError: The class is of a script or a notebook.
    """
    module, _, name = path.partition(".")
    if module == "__main__":
        msg = (
            f"{role}: {name} is defined in a script or notebook, where its code may change under one name, and a "
            "record would not tell; put it in a module of its own and import it"
        )
        raise ConfigError(msg)


def _arguments(given: Any, role: str) -> dict[str, Any]:
    """The arguments of an object as plain data, those at their default left out as far as they are not known."""
    name = type(given).__name__
    if isinstance(given, RemembersArguments):
        found = given_arguments(given)
        if found is None:
            msg = (
                f"{role}: this {name} comes from a checkpoint, and a run trains a new one; build it from its arguments"
            )
            raise ConfigError(msg)
    else:
        found = _without_defaults(given, _kept_arguments(given, role))
    plain = {argument: _plain(value) for argument, value in found.items()}
    for argument, value in plain.items():
        if value is _NOT_DATA:
            msg = (
                f"{role}: {name} was given {argument}={_short(found[argument])}, which a record cannot hold; expected "
                "numbers, texts, or an entry of a config with class_path and init_args"
            )
            raise ConfigError(msg)
    enums = {name: value for name, value in found.items() if isinstance(value, Enum) and value.name != value.value}
    return plain | (_spelled(enums, plain, path=_path(type(given), role), role=role) if enums else {})


def _spelled(enums: Mapping[str, Enum], plain: dict[str, Any], *, path: str, role: str) -> dict[str, Any]:
    """Members of enumerations as a config spells them: by name where the annotation is the enumeration alone."""
    for spellings in itertools.product(("value", "name"), repeat=len(enums)):
        told = {name: getattr(enums[name], how) for name, how in zip(enums, spellings, strict=True)}
        try:
            _DESCRIBE[role]({"class_path": path, "init_args": plain | told})
        except ConfigError:
            continue
        return told
    return {}  # something else is wrong, and told when the object is built


def _kept_arguments(given: Any, role: str) -> dict[str, Any]:
    """What others' classes keep of their arguments: models as Lightning's hyperparameters, data as attributes."""
    if role == "model":
        return dict(given.hparams_initial)
    kept = {}
    for name in init_parameters(type(given)):
        found = [getattr(given, spelled) for spelled in (name, f"_{name}") if hasattr(given, spelled)]
        if found:
            kept[name] = found[0]
        elif name != "augmentations":  # anomalib hands it on to the splits' own
            msg = (
                f"data: {type(given).__name__} does not keep its argument {name!r}, so this object cannot be "
                "described; give a mapping with class_path and init_args"
            )
            raise ConfigError(msg)
    return kept


def _without_defaults(given: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    defaults = {name: parameter.default for name, parameter in init_parameters(type(given)).items()}
    return {
        name: value for name, value in arguments.items() if name in defaults and _plain(value) != _plain(defaults[name])
    }


def _plain(value: Any) -> Any:
    """A value as JSON has it; `_NOT_DATA` for what it has not."""
    value = python_numbers(value)
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        parts: Any = {str(name): _plain(part) for name, part in value.items()}
        return _NOT_DATA if _NOT_DATA in parts.values() else parts
    if isinstance(value, list | tuple):
        parts = [_plain(part) for part in value]
        return _NOT_DATA if _NOT_DATA in parts else parts
    if isinstance(value, RemembersArguments) and isinstance(value, base_class("data")):  # a product of several
        return {"class_path": _path(type(value), "data"), "init_args": _arguments(value, "data")}
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()  # a number of torch's
    return _NOT_DATA


def _check_unchanged(given: Any, spec: dict[str, Any], role: str, set_up_as: Callable[[Any, Any], bool] | None) -> None:
    """Hold an object against one that is built from its description.

    Raises:
        ConfigError: They differ.
    """
    from extensions.runtime.seeding import seeded

    name = type(given).__name__
    if role == "model" and getattr(given, "_trainer", None) is not None:
        logger.warning("this %s was used before; the run builds it anew from its arguments and the seed", name)
        return
    with seeded(0):
        built = _BUILD[role](spec)
        is_set_up = set_up_as is not None and hasattr(given, "train_data") and set_up_as(given, built)
    if (found := difference(given, built)) is not None:
        msg = (
            f"{role}: this {name} is not what its arguments give: {found}; set it by an argument, or subclass "
            f"{name} and name that class"
        )
        raise ConfigError(msg)
    if is_set_up and (found := sample_difference(given, built)) is not None:
        msg = (
            f"data: this {name} was set up and is not what its arguments give on this disk now: {found}; a run sets it "
            "up anew, so choose its images by its arguments and folders, and build it again"
        )
        raise ConfigError(msg)


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"a {type(value).__name__}"
