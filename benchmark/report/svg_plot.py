"""What an inline SVG plot consists of, in px of its view box: axes, bars, lines and marks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEFT, RIGHT, TOP, BOTTOM = 56, 16, 12, 44  # px beside the axes
Tick = tuple[float, str]


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A rectangle; `look` is its class in the style sheet."""

    x: float
    y: float
    width: float
    height: float
    look: str
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line through `points` as SVG writes them; `name` stands at its upper end where it has one."""

    points: str
    look: str
    title: str = ""
    name: str = ""
    at: tuple[float, float] = (0.0, 0.0)
    anchor: str = "start"


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A dot, with its name beside it where it has one."""

    x: float
    y: float
    look: str
    title: str
    name: str = ""
    anchor: str = "start"


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One plot; `alt` says in words what it shows."""

    alt: str
    size: tuple[int, int]
    frame: tuple[int, int, int, int]
    x_label: str
    y_label: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    bars: Sequence[Bar] = ()
    lines: Sequence[Line] = ()
    marks: Sequence[Mark] = ()


@dataclass(frozen=True, kw_only=True)
class Axes:
    """From values to px: `x_range` and `y_range` are the values at the ends of the axes."""

    width: int
    height: int
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    @property
    def frame(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the axes."""
        return LEFT, TOP, self.width - RIGHT, self.height - BOTTOM

    def x(self, value: float) -> float:
        """Px from the left."""
        low, high = self.x_range
        return round(LEFT + (self.width - LEFT - RIGHT) * (value - low) / ((high - low) or 1), 1)

    def y(self, value: float) -> float:
        """Px from the top."""
        low, high = self.y_range
        return round(TOP + (self.height - TOP - BOTTOM) * (high - value) / ((high - low) or 1), 1)

    def points(self, xs: Sequence[float], ys: Sequence[float]) -> str:
        """A line as SVG writes it."""
        return " ".join(f"{self.x(x):g},{self.y(y):g}" for x, y in zip(xs, ys, strict=True))


def round_ticks(low: float, high: float, *, n: int = 6) -> list[float]:
    """At most about `n` round values from `low` to `high`."""
    if not high > low:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / n))
    step = next(power * factor for factor in (1, 2, 5, 10) if (high - low) / (power * factor) <= n)
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
