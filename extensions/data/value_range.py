"""The range of values that an image's detector sees: what becomes 0, and what becomes 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

AUTO = "auto"
"""In place of a range: that of the good training images, see `extensions.data.checks.value_checks.found_range`."""

MOST = {"uint8": 255, "uint16": 65535}  # by the kind of numbers that a file holds


@dataclass(frozen=True)
class ValueRange:
    """Where the values of images lie, as the files hold them (counts of a camera, meters of a depth map).

    A value v becomes (v - low) / (high - low) in float32, and what lies outside of the range is clipped to 0 or 1.

    Attributes:
        lows: What becomes 0: one for all channels, or one for each.
        highs: What becomes 1, likewise.
        is_floating: Whether files hold floating point numbers; else whole ones from 0 to 65535.
    """

    lows: tuple[float, ...]
    highs: tuple[float, ...]
    is_floating: bool = False

    @property
    def dtype(self) -> str:
        """NumPy's name of the numbers in which images are handed over: `uint16` or `float32`."""
        return "float32" if self.is_floating else "uint16"

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Values (H, W, C) of any kind -> (H, W, C) float32 in [0, 1]."""
        lows, highs = np.array(self.lows, np.float32), np.array(self.highs, np.float32)
        whole: np.ndarray = (values.astype(np.float32) - lows) / (highs - lows)
        return np.clip(whole, 0, 1, out=whole)

    def __str__(self) -> str:
        pairs = [f"{low:g} to {high:g}" for low, high in zip(self.lows, self.highs, strict=True)]
        return ", ".join(pairs)

    def stored(self) -> dict[str, Any]:
        """Plain values."""
        return {"lows": list(self.lows), "highs": list(self.highs), "is_floating": self.is_floating}

    @classmethod
    def of(cls, stored: dict[str, Any]) -> ValueRange:
        """What `stored` gave."""
        return cls(tuple(map(float, stored["lows"])), tuple(map(float, stored["highs"])), bool(stored["is_floating"]))


def joined_range(ranges: Sequence[ValueRange]) -> ValueRange:
    """The range that holds all of these, channel by channel."""
    lows = tuple(map(min, zip(*(one.lows for one in ranges), strict=True)))
    highs = tuple(map(max, zip(*(one.highs for one in ranges), strict=True)))
    return ValueRange(lows, highs, any(one.is_floating for one in ranges))


def checked_range(given: Any) -> ValueRange | str | None:
    """The argument `range` of a data set: `[low, high]`, a list of such for the channels, or `auto`.

    Raises:
        ValueError: It is something else, or a low value is not below its high one.
    """
    if given is None or given == AUTO:
        return given
    pairs = given if isinstance(given, Sequence) and given and isinstance(given[0], Sequence) else [given]
    for pair in pairs:
        if not _is_pair(pair):
            msg = (
                f"range is {_told(given)}; expected two numbers [low, high] as the files hold them, a list of such "
                f"pairs, one for each channel, or {AUTO}"
            )
            raise ValueError(msg)
        if not pair[0] < pair[1]:
            msg = f"range is {_told(given)}, whose low value is not below the high one; expected [low, high]: swap them"
            raise ValueError(msg)
    lows, highs = (tuple(float(pair[end]) for pair in pairs) for end in (0, 1))
    return ValueRange(lows, highs)


def _is_pair(pair: Any) -> bool:
    if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
        return False
    return all(isinstance(end, int | float) and not isinstance(end, bool) and math.isfinite(end) for end in pair)


def _told(given: Any) -> str:
    return repr(list(given)) if isinstance(given, tuple) else repr(given)
