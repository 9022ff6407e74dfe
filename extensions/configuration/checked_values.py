"""Values that cannot be, refused in one sentence; keys that nobody knows, with the nearest ones that are known."""

from collections.abc import Iterable
from numbers import Integral
from typing import Any

from extensions.configuration.errors import ConfigError, did_you_mean


def check_values(**checks: tuple[Any, bool, str]) -> None:
    """Refuse the first argument whose value cannot be.

    Args:
        checks: By name: the value, whether it can be, and what is expected, in words.

    Raises:
        ValueError: It says the name, the value and what is expected.

    Example:
        >>> check_values(lr=(lr, lr > 0, "more than 0"))
    """
    for name, (value, is_right, expected) in checks.items():
        if not is_right:
            msg = f"{name} is {value!r}; expected {expected}"
            raise ValueError(msg)


def check_whole(**given: Any) -> None:
    """Refuse arguments, by name, that count something and are no whole numbers; None is left alone.

    Raises:
        ValueError: It names the first one.
    """
    for name, value in given.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, Integral)):
            msg = f"{name} is {value!r}; expected a whole number."
            raise ValueError(msg)


def check_keys(given: Iterable[Any], known: Iterable[str], *, place: str = "") -> None:
    """Refuse the first key that is not known.

    Args:
        given: The keys.
        known: Those there can be.
        place: Put before the key, such as `data.`.

    Raises:
        ConfigError: It says the key and those that are known, the nearest first.
    """
    for key in given:
        if key not in known:
            msg = f"unknown key {f'{place}{key}'!r}{did_you_mean(str(key), known, list_all=True)}"
            raise ConfigError(msg)


def is_whole(value: Any, least: float = float("-inf"), most: float = float("inf")) -> bool:
    """Whether a value is a whole number from `least` to `most`; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_number(value: Any) -> bool:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
