"""One row of the speed table: what two sides took, whether they agree, and how far ours is from what limits it."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

STOCK = "stock anomalib"
TOLERANCE = 1e-4

COLUMNS = (
    "row",
    "work",
    "data",
    "reference",
    "reference_seconds",
    "ours_seconds",
    "ratio",
    "at_most",
    "bound",
    "limit_bound",
    "reached",
    "limit",
    "limit_seconds",
    "times_limit",
    "agree",
    "agreement",
    "difference",
    "extrapolated",
    "detail",
    "error",
    "commit",
)


@dataclass
class Measurement:
    """What a row function gives.

    Args:
        work: What was done, for people.
        data: What it was done on.
        reference: What ours is compared with.
        reference_seconds: Median, or extrapolated.
        ours_seconds: Median.
        bound: The ratio to reach; None where none is stated.
        at_most: The ratio is ours / reference and `bound` its largest value; else it is reference / ours, how many
            times faster ours is, and `bound` its smallest value.
        limit_bound: Ours / limit that is enough where the ratio stays below `bound`; None where the ratio alone counts.
        limit: What no implementation of this method gets below on this machine, and of what it was made.
        limit_seconds: That limit, measured in the same run; None where there is none.
        agreement: What was compared, for people; "" where there is nothing to compare with.
        difference: The largest difference found; NaN never agrees.
        tolerance: The largest difference that still is agreement.
        extrapolated: Stock was measured for a part of the work.
        detail: All a reader has to know beside that.
        measured: Every time taken in s, unscaled, by side.
    """

    work: str
    data: str
    reference_seconds: float
    ours_seconds: float
    reference: str = STOCK
    bound: float | None = None
    at_most: bool = False
    limit_bound: float | None = None
    limit: str = ""
    limit_seconds: float | None = None
    agreement: str = ""
    difference: float | None = None
    tolerance: float = TOLERANCE
    extrapolated: bool = False
    detail: str = ""
    measured: dict[str, list[float]] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """`COLUMNS` but for the row's name, and `measured`; sides that disagree are an error."""
        ours, reference = self.ours_seconds, self.reference_seconds
        ratio = ours / reference if self.at_most else reference / ours
        reached = None if self.bound is None else (ratio <= self.bound if self.at_most else ratio >= self.bound)
        if reached is False and self.limit_bound is not None and self.limit_seconds:
            reached = ours / self.limit_seconds <= self.limit_bound
        agree = None if not self.agreement else self.difference is not None and self.difference <= self.tolerance
        error = None
        if agree is False:
            error = f"the results differ: {self.agreement} by {self.difference}, expected at most {self.tolerance}"
        return {
            **{name: getattr(self, name) for name in COLUMNS if hasattr(self, name)},
            "difference": self.difference if self.difference is None or self.difference < float("inf") else None,
            "ratio": ratio,
            "reached": reached and agree is not False,
            "times_limit": ours / self.limit_seconds if self.limit_seconds else None,
            "agree": agree,
            "error": error,
            "measured": self.measured,
        }


@dataclass
class Turns:
    """Times in s of two sides that took turns, and what each gave last."""

    ours: list[float]
    reference: list[float]
    ours_result: Any
    reference_result: Any

    def measurement(self, limit: tuple[str, float], **facts: Any) -> Measurement:
        """Of both sides' medians, what limits ours (its name, s), and further arguments of `Measurement`."""
        known: dict[str, Any] = {
            "ours_seconds": statistics.median(self.ours),
            "reference_seconds": statistics.median(self.reference),
            "limit": limit[0],
            "limit_seconds": limit[1],
            "measured": {"ours": self.ours, "reference": self.reference},
        }
        return Measurement(**(known | facts))


def take_turns(
    ours: Callable[[], Any], reference: Callable[[], Any], *, rounds: int, patience: float = float("inf")
) -> Turns:
    """Time both sides in turns, so that what else the machine does falls on both.

    Args:
        ours: The work, ours.
        reference: The same work, theirs.
        rounds: How often at most.
        patience: No further round is begun when `reference` would have taken more than this, in s; ours is repeated
            all the same, so that what only its first time needs does not pass for all of its times.
    """
    turns = Turns([], [], None, None)
    while len(turns.ours) < rounds:
        turns.ours_result, seconds = timed(ours)
        turns.ours.append(seconds)
        turns.reference_result, seconds = timed(reference)
        turns.reference.append(seconds)
        if sum(turns.reference) + seconds > patience:
            break
    while len(turns.ours) < rounds:
        turns.ours_result, seconds = timed(ours)
        turns.ours.append(seconds)
    return turns


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What the work gives, and the seconds it took."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def largest_difference(ours: Mapping[str, float | None], theirs: Mapping[str, float | None]) -> float:
    """Between numbers of the same name; infinite where only one side has a number, or a name lacks on one side."""
    differences = [0.0]
    for name in ours.keys() | theirs.keys():
        one, other = ours.get(name), theirs.get(name)
        if one is None and other is None:
            continue
        differences.append(float("inf") if one is None or other is None else abs(one - other))
    return float("inf") if any(math.isnan(found) for found in differences) else max(differences)


def not_alike(ours: Mapping[str, float | None], theirs: Mapping[str, float | None]) -> str:
    """For a row's detail: names whose numbers differ by more than `TOLERANCE`, with both; "" where there are none."""
    names = sorted(ours.keys() | theirs.keys())
    found = [
        f"{name}: ours {ours.get(name)}, theirs {theirs.get(name)}"
        for name in names
        if not largest_difference({name: ours.get(name)}, {name: theirs.get(name)}) <= TOLERANCE
    ]
    return f"; {len(found)} differ: {', '.join(found[:3])}" if found else ""
