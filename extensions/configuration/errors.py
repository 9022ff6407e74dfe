"""One sentence for everything that can be wrong with a config."""

import difflib
import importlib
import re
from collections.abc import Iterable
from pathlib import Path

FILE_CUTOFF = 0.65  # of difflib: one letter in three may differ
MAX_FILES = 12  # that a sentence lists

_UNACCEPTED = re.compile(r"Option '([^']+)' is not accepted")
_UNKNOWN = re.compile(r"does not accept option '([^']+)'")
_REQUIRED = re.compile(r"(?:Key|Option) ['\"]([^'\"]+)['\"] is required")
_CLASS = re.compile(r"Problem with given class_path '([^']+)'")
_KEY = re.compile(r'Parser key "([^"]+)"')
_NO_CLASS = re.compile(
    r"No module named '[^']+'|module '[^']+' has no attribute|Expected a dot import path string: (\S+)"
)
_EXPECTED = re.compile(r"Expected (?:an? )?(.+?)(?:\. Got value:.*)?$", re.MULTILINE)
_SUBTYPES = re.compile(r"Subtypes: \[(.*)\]")
_GIVEN = re.compile(r"(?:Given value: |Got value: )(.*)")
_WORDS = {"NoneType": "null", "Sequence": "a list", "list": "a list", "dict": "a mapping", "str": "text"}


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


def did_you_mean_file(path: Path, known: Iterable[Path]) -> str:
    """The end of a sentence about a file there is not: near ones by their names without endings, else what is there.

    >>> did_you_mean_file(Path("configs/padim.yml"), [Path("configs/padim.yaml"), Path("configs/elpv.yaml")])
    '; did you mean padim.yaml?'
    """
    files = sorted(set(known))
    stems, wanted = {file.stem.lower() for file in files}, path.stem.lower()
    near = [wanted] if wanted in stems else difflib.get_close_matches(wanted, stems, n=3, cutoff=FILE_CUTOFF)
    alike = [file for stem in near for file in files if file.stem.lower() == stem]
    found = [file.name if file.parent == path.parent else str(file) for file in alike]
    if found:
        return f"; did you mean {' or '.join(found[:3])}?"
    beside = [file.name for file in files if file.parent == path.parent]
    more = f" and {len(beside) - MAX_FILES} more" if len(beside) > MAX_FILES else ""
    return f" (there: {', '.join(beside[:MAX_FILES])}{more})" if beside else ""


def explain(message: str, *, known: Iterable[str] = ()) -> str:
    """What the user must change, in one sentence, from jsonargparse's account of all that it tried.

    Args:
        message: Text of its `ArgumentError`; unions nest, the innermost cause comes last.
        known: Every key the parser takes, to name the nearest ones.
    """
    keys = _KEY.findall(message)
    where = ".init_args.".join(keys)
    class_path = next(reversed(_CLASS.findall(message)), None)
    if options := _UNKNOWN.findall(message):
        return unknown_key(options[-1], known)
    if options := _UNACCEPTED.findall(message):
        return _unaccepted(options[-1], class_path, where)
    if class_path and (required := _REQUIRED.findall(message)):
        return f"{where}: {class_path} needs {required[-1]!r}, and it is not given"
    if missing := _NO_CLASS.search(message):
        name = class_path or missing.group(1)
        return f"{where}: there is no class {name!r} to import{_nearby_classes(name)}"
    innermost = message[message.rfind(f'Parser key "{keys[-1]}"') :] if keys else message
    expected, given = _expected(innermost), _GIVEN.search(innermost)
    if keys and expected and given:
        return f"{where}: expected {expected}, found {given.group(1).strip()}"
    return " ".join(message.split())


def argument_names(class_path: str) -> list[str]:
    """The init arguments a class takes in a config, those of its bases included."""
    from jsonargparse import ArgumentParser

    module, _, name = class_path.rpartition(".")
    parser = ArgumentParser()
    parser.add_class_arguments(getattr(importlib.import_module(module), name), fail_untyped=False)
    return list(parser.get_defaults().keys())


def _unaccepted(option: str, class_path: str | None, where: str) -> str:
    """An init argument, or a key beside class_path, that does not exist."""
    if class_path is None:
        return f"{where}: unknown key {option!r}"
    return unknown_argument(where, class_path, option, argument_names(class_path))


def unknown_argument(where: str, class_path: str, name: str, known: Iterable[str]) -> str:
    """The sentence about an init argument that a class does not take."""
    return f"{where}: {class_path} has no argument {name!r}{did_you_mean(name, known, list_all=True)}"


def unknown_key(name: str, known: Iterable[str]) -> str:
    """The sentence about a dotted key that a config does not take."""
    return f"unknown key {name!r}{did_you_mean(name, _siblings(name, known))}"


def unknown_trainer_argument(name: str, known: Iterable[str]) -> str:
    """The sentence about an argument that Lightning's Trainer does not take."""
    return f"trainer: unknown argument {name!r}{did_you_mean(name, known)}"


def _siblings(option: str, known: Iterable[str]) -> set[str]:
    """The keys that can stand where a dotted key stands."""
    depth = option.count(".")
    parent = option.split(".")[:depth]
    parts = [key.split(".") for key in known]
    return {".".join(key[: depth + 1]) for key in parts if key[:depth] == parent and len(key) > depth}


def _nearby_classes(class_path: str) -> str:
    """What else the module holds, if there is such a module."""
    module, _, name = class_path.rpartition(".")
    try:
        there = importlib.import_module(module)
    except (ImportError, ValueError):
        return ""
    lazy = [key for key in getattr(there, "__all__", ()) if key[:1].isupper()]  # imported on first use
    return did_you_mean(name, [*lazy, *(key for key, value in vars(there).items() if isinstance(value, type))])


def _expected(message: str) -> str:
    """The types that would have been accepted, in words."""
    subtypes = _SUBTYPES.search(message)
    found = subtypes.group(1).split(", ") if subtypes else _EXPECTED.findall(message)[-1:]
    names = [re.sub(r"<(?:class|enum) '(?:.*\.)?(\w+)'>", r"\1", name).replace("typing.", "") for name in found]
    return " or ".join(_WORDS.get(name, name) for name in names)
