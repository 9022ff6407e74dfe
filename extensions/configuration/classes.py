"""A class named in a config: short name or dotted path to the class itself."""

import importlib
import inspect
from functools import cache
from typing import Any

from extensions.configuration.errors import ConfigError, did_you_mean
from extensions.runtime.uncollected import uncollected

ROLES = {
    "model": ("anomalib.models", "AnomalibModule"),
    "data": ("anomalib.data", "AnomalibDataModule"),
    "callback": ("lightning.pytorch.callbacks", "Callback"),
    "logger": ("lightning.pytorch.loggers", "Logger"),
    "method": ("extensions.self_supervised", "Method"),
    "images": ("extensions.self_supervised", "ImageFolders"),
}


def base_class(role: str) -> type:
    """The class everything of a role derives from; the role is a key of `ROLES`."""
    module, name = ROLES[role]
    with uncollected():
        return getattr(importlib.import_module(module), name)


@cache
def known_classes(role: str) -> dict[str, str]:
    """Short name to class path of every class of a role: anomalib's, and ours in place of those of the same name."""
    base = base_class(role)
    known: dict[str, str] = {}
    for package in (ROLES[role][0], "extensions"):
        module = importlib.import_module(package)
        if package == "extensions" and hasattr(module, "load"):
            with uncollected():
                module.load()
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name, None)
            if inspect.isclass(value) and issubclass(value, base) and not inspect.isabstract(value):
                known[name] = f"{package}.{name}"
    return known


def resolve_class_path(name: str, role: str) -> str:
    """The full path of a class given by short name or path, as it stands in records: `Padim` -> `extensions.Padim`.

    Raises:
        ConfigError: There is no such class, or it is not of the role.
    """
    known = known_classes(role)
    if "." not in name:
        path = known.get(name) or _imported_subclass(name, role)
        if path is None:
            msg = f"{role}: there is no class {name!r}{nearby_classes(name, known)}"
            raise ConfigError(msg)
        return path
    found = import_class(name, role, known)
    base = base_class(role)
    if not (inspect.isclass(found) and issubclass(found, base)) or inspect.isabstract(found):
        msg = f"{role}: {name} is no complete {base.__name__} and cannot stand here"
        raise ConfigError(msg)
    flat = known.get(found.__name__)
    return flat if flat and import_class(flat, role, known) is found else name


def import_class(path: str, role: str, known: dict[str, str]) -> Any:
    """The object at a dotted path.

    Raises:
        ConfigError: The module is not there, fails to import, or has no such name.
    """
    module_name, _, attribute = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            msg = f"{role}: there is no class {path!r} to import{nearby_classes(path, known)}"
        else:
            msg = f"{role}: importing {module_name} failed: {error}"
        raise ConfigError(msg) from error
    except ImportError as error:
        msg = f"{role}: importing {module_name} failed: {error}"
        raise ConfigError(msg) from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        msg = f"{role}: there is no class {path!r} to import{nearby_classes(path, known)}"
        raise ConfigError(msg) from None


def init_parameters(kind: type) -> dict[str, inspect.Parameter]:
    """What a class's constructor takes, with what it hands on to those of its parents."""
    found: dict[str, inspect.Parameter] = {}
    for owner in kind.__mro__:
        own = inspect.signature(owner).parameters.values()
        found = {p.name: p for p in own if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)} | found
        if not any(p.kind is p.VAR_KEYWORD for p in own):
            break
    return found


def nearby_classes(name: str, known: dict[str, str]) -> str:
    """The end of a sentence about a class there is not: the nearest ones, else ours."""
    near = did_you_mean(name, known.values())
    if near.startswith(";"):
        return near
    ours = [path for path in known.values() if path.startswith("extensions.")]
    return did_you_mean(name, ours or known, list_all=True)


def _imported_subclass(name: str, role: str) -> str | None:
    """A class of that short name which some module imported so far defines, as anomalib's CLI accepts it."""
    pending: list[type] = [base_class(role)]
    found: list[str] = []
    while pending:
        subclasses: list[type] = pending.pop().__subclasses__()
        for cls in subclasses:
            pending.append(cls)
            if cls.__name__ == name and not inspect.isabstract(cls):
                found.append(f"{cls.__module__}.{cls.__qualname__}")
    if len(set(found)) > 1:
        msg = f"{role}: there are several classes {name!r}, give one of {', '.join(sorted(set(found)))}"
        raise ConfigError(msg)
    return found[0] if found else None
