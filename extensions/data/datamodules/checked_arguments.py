"""Arguments of the datamodules, checked before any file is looked at."""

from collections.abc import Sequence
from typing import Any

from extensions.configuration.checked_values import is_number, is_whole
from extensions.configuration.python_numbers import python_numbers


def checked_mode(value: Any, allowed: Sequence[Any], argument: str) -> Any:
    """The mode, or a ValueError that lists those that are possible."""
    text = str(getattr(value, "value", value)).lower()
    for mode in allowed:
        if mode.value == text:
            return mode
    names = ", ".join(mode.value for mode in allowed)
    msg = f"{argument} is {text!r}; expected one of {names}"
    raise ValueError(msg)


def checked_ratio(value: float, argument: str) -> float:
    """The ratio, or a ValueError when it is not from 0 to below 1."""
    value = python_numbers(value)
    if not is_number(value) or not 0 <= value < 1:
        msg = f"{argument} is {value}; expected a number from 0 to below 1"
        raise ValueError(msg)
    return value


def checked_k_shot(value: int | None) -> int | None:
    """The number of images, or a ValueError when it is not 1 or more."""
    value = python_numbers(value)
    if value is not None and not is_whole(value, 1):
        msg = f"k_shot is {value!r}; expected 1 or more images to train on, or null for all"
        raise ValueError(msg)
    return value


def checked_seed(value: int, argument: str) -> int:
    """The seed, or a ValueError when it is not a whole number from 0 on."""
    value = python_numbers(value)
    if not is_whole(value, 0):
        msg = f"{argument} is {value!r}; expected a whole number from 0 on"
        raise ValueError(msg)
    return value
