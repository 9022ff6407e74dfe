"""One sentence for everything that can be wrong with a config."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_UNACCEPTED = re.compile(r"Option '([^']+)' is not accepted")
_CLASS = re.compile(r"Problem with given class_path '([^']+)'")
_KEY = re.compile(r'Parser key "([^"]+)"')
_NO_MODULE = re.compile(r"No module named '([^']+)'|Expected a dot import path string: (\S+)")
_EXPECTED = re.compile(r"Expected (?:an? )?(.+?)(?:\. Got value:.*)?$", re.MULTILINE)
_SUBTYPES = re.compile(r"Subtypes: \[(.*)\]")
_GIVEN = re.compile(r"(?:Given value: |Got value: )(.*)")


class ConfigError(ValueError):
    """A config is wrong; the message is one sentence: where, found, expected, nearest valid names."""


def did_you_mean(name: str, known: Iterable[str], *, list_all: bool = False) -> str:
    """The end of a sentence about an unknown name: the nearest known ones, and all of them if asked.

    >>> did_you_mean("bakbone", ["backbone", "layers"], list_all=True)
    '; did you mean backbone? (known: backbone, layers)'
    """
    names = sorted(set(known), key=str.lower)
    lower = {n.rsplit(".", 1)[-1].lower(): n for n in names}
    near = [lower[n] for n in difflib.get_close_matches(name.rsplit(".", 1)[-1].lower(), lower, n=3, cutoff=0.5)]
    text = f"; did you mean {' or '.join(near)}?" if near else ""
    if names and (list_all or not near):
        text += f" (known: {', '.join(names)})"
    return text


def explain(message: str, place: str) -> str:
    """jsonargparse's dump of everything it tried, as one sentence about what the user must change.

    Args:
        message: Text of its `ArgumentError`; unions nest, the innermost cause comes last.
        place: Where the value stands, for instance `model`.
    """
    keys = [key for key in _KEY.findall(message) if key != place]
    where = place + "".join(f".init_args.{key}" for key in keys)
    classes = _CLASS.findall(message)
    if options := _UNACCEPTED.findall(message):
        return _unaccepted(options[-1], classes[-1] if classes else None, where)
    if modules := _NO_MODULE.findall(message):
        name = classes[-1] if classes else next(filter(None, modules[-1]))
        return f"{where}: there is no class {name!r} to import"
    innermost = message[message.rfind(f'Parser key "{keys[-1]}"') :] if keys else message
    expected = _expected(innermost)
    given = _GIVEN.search(innermost)
    if expected and given:
        return f"{where}: expected {expected}, found {given.group(1).strip()}"
    return f"{where}: {' '.join(innermost.split())}"


def argument_names(class_path: str) -> list[str]:
    """The init arguments a class takes in a config, those of its bases included."""
    import importlib

    from jsonargparse import ArgumentParser

    module, _, name = class_path.rpartition(".")
    parser = ArgumentParser()
    parser.add_class_arguments(getattr(importlib.import_module(module), name), fail_untyped=False)
    return list(parser.get_defaults().keys())


def _unaccepted(option: str, class_path: str | None, where: str) -> str:
    """An init argument, or a key beside class_path, that does not exist."""
    if class_path is None:
        return f"{where}: unknown key {option!r}"
    return f"{where}: {class_path} has no argument {option!r}{did_you_mean(option, argument_names(class_path), list_all=True)}"


def _expected(message: str) -> str:
    """The types that would have been accepted, in words."""
    subtypes = _SUBTYPES.search(message)
    found = subtypes.group(1).split(", ") if subtypes else _EXPECTED.findall(message)[-1:]
    names = [re.sub(r"<(?:class|enum) '(?:.*\.)?(\w+)'>", r"\1", name).replace("typing.", "") for name in found]
    return " or ".join("null" if name == "NoneType" else name for name in names)
