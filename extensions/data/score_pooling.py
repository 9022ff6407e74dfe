"""How an image's score is taken from its anomaly map."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

HIGHEST = "max"
EXPECTED = "max, top_ and a number of pixels such as top_100, or top_ and a share such as top_1%"


@dataclass(frozen=True)
class ScorePooling:
    """The mean of the highest pixels of a map: so many of them, or a share of those that count.

    Attributes:
        name: `max`, `top_100` or `top_1%`, with any other number.
        n_pixels: How many; 1 for `max`, 0 for a share.
        share: Of the pixels that count, in (0, 1]; 0 for a number.

    Example:
        >>> ScorePooling.named("top_1%").n_of(50176)
        501
    """

    name: str
    n_pixels: int
    share: Fraction

    @classmethod
    def named(cls, name: str) -> ScorePooling:
        """Read a name.

        Raises:
            ValueError: It is none.
        """
        number = re.fullmatch(r"top_(\d{1,9}(?:\.\d{1,9})?)(%?)", name) if isinstance(name, str) else None
        if name == HIGHEST:
            return cls(name, 1, Fraction(0))
        if number is not None and not number[2] and number[1].isdecimal() and int(number[1]) > 0:
            return cls(name, int(number[1]), Fraction(0))
        if number is not None and number[2] and 0 < Fraction(number[1]) <= 100:
            return cls(name, 0, Fraction(number[1]) / 100)
        msg = f"score_pooling is {name!r}; expected {EXPECTED}"
        raise ValueError(msg)

    def n_of(self, n_counted: Any) -> Any:
        """How many pixels are averaged of so many that count, rounded down; it may be 0, and more than there are.

        Args:
            n_counted: A whole number, or a tensor of them; so is what is returned.
        """
        if self.n_pixels:
            return n_counted * 0 + self.n_pixels
        return n_counted * self.share.numerator // self.share.denominator


def pooled_score(anomaly_map: np.ndarray, pooling: ScorePooling, inside: np.ndarray | None = None) -> float:
    """The raw score of one image, higher is more anomalous.

    Args:
        anomaly_map: (H, W), higher is more anomalous. NaN anywhere that counts gives NaN.
        pooling: How many of its pixels are averaged: at least one, at most all that count.
        inside: (H, W) bool, the pixels that count; None for all. Where none does the score is 0.
    """
    values = anomaly_map.ravel() if inside is None else anomaly_map[inside]
    if not len(values):
        return 0.0
    n = min(max(1, pooling.n_of(len(values))), len(values))
    if np.isnan(values).any():
        return float("nan")
    return float(np.partition(values, len(values) - n)[-n:].mean(dtype=np.float64))
