"""Placeholders in the arguments of a model: `{category}` and `{seed}`, by which one row takes a file for each run."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

from extensions.configuration import ConfigError
from extensions.configuration.errors import did_you_mean

PLACEHOLDERS = ("category", "seed")
_FOUND = re.compile(r"\{(\w*)\}")


def check_placeholders(arguments: Any) -> None:
    """Refuse a placeholder that nothing fills.

    Args:
        arguments: Of a model, plain data.

    Raises:
        ConfigError: There is one; the message names the nearest that is known.
    """
    for text in _texts(arguments):
        for name in _FOUND.findall(text):
            if name not in PLACEHOLDERS:
                near = did_you_mean(name, PLACEHOLDERS, list_all=True)
                msg = f"model: {text!r} has the unknown placeholder {{{name}}}{near}"
                raise ConfigError(msg)


def filled(value: Any, *, category: str, seed: int) -> Any:
    """The same with each placeholder replaced.

    Args:
        value: Plain data.
        category: Of the data set; empty where it has none.
        seed: Of the run.

    Raises:
        ConfigError: A placeholder is unknown, or asks for a category where there is none.
    """
    check_placeholders(value)
    value = value.as_posix() if isinstance(value, PurePath) else value
    if isinstance(value, dict):
        return {name: filled(part, category=category, seed=seed) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [filled(part, category=category, seed=seed) for part in value]
    if not isinstance(value, str):
        return value
    if "{category}" in value and not category:
        msg = f"model: {value!r} has the placeholder {{category}}, and the data set has no category: name the file"
        raise ConfigError(msg)
    return value.replace("{category}", category).replace("{seed}", str(seed))


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict | list | tuple):
        parts = value.values() if isinstance(value, dict) else value
        return [text for part in parts for text in _texts(part)]
    return [str(value)] if isinstance(value, str | PurePath) else []
