"""What a raw score means on the line: good, defective, or, between two thresholds, unsure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Verdict = Literal["good", "defective", "unsure"]


def verdict(score: float, threshold: float | None, upper: float | None = None) -> Verdict | None:
    """The verdict on an image.

    Args:
        score: Raw, higher is more anomalous.
        threshold: Below it an image is good; None gives no verdict.
        upper: From here on it is defective, between both unsure; None with one threshold.
    """
    if threshold is None:
        return None
    if score < threshold:
        return "good"
    return "unsure" if upper is not None and score < upper else "defective"


def n_differing(
    one: Iterable[float],
    other: Iterable[float],
    thresholds: tuple[float | None, float | None],
    others: tuple[float | None, float | None],
) -> int:
    """How many images have another verdict by the other scores.

    Args:
        one: A raw score an image.
        other: Likewise, of the same images.
        thresholds: Lower and upper of the one.
        others: Lower and upper of the other.
    """
    pairs = zip(one, other, strict=True)
    return sum(verdict(first, *thresholds) != verdict(second, *others) for first, second in pairs)


def unsure_share(scores: Iterable[float], threshold: float | None, upper: float | None) -> float:
    """Share of the images that are unsure, from 0 to 1."""
    found = [verdict(score, threshold, upper) == "unsure" for score in scores]
    return sum(found) / len(found)
