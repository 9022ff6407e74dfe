"""What a detector does at a requirement: defects missed, false alarms, unsure parts, cost, with how sure they are."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.statistics.requirement import Requirement

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """Counts on test images at thresholds that were fitted on others.

    Attributes:
        requirement: What the thresholds keep on the images they were fitted on.
        missed: Defective images called good; over several seeds the mean count, over categories the sum.
        n_defective: Of so many.
        missed_interval: Of the share, 95 %, Clopper-Pearson.
        false_alarms: Good images called defective, likewise.
        n_good: Of so many.
        false_alarm_interval: Of the share, 95 %, Clopper-Pearson.
        unsure: Share of the test images between the two thresholds, the mean of both classes' shares weighed by their
            number; None with one threshold.
        cost: Expected for 1,000 parts, where the requirement is a cost.
        supported: Whether the images on which the thresholds were fitted are enough to keep the rates asked for.
        note: One sentence where they are not; else empty.
    """

    requirement: Requirement
    missed: float
    n_defective: int
    missed_interval: Interval
    false_alarms: float
    n_good: int
    false_alarm_interval: Interval
    unsure: float | None = None
    cost: float | None = None
    supported: bool = True
    note: str = ""
