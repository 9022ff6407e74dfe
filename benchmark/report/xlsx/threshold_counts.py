"""What the formulas of the Threshold sheet give at first, for programs that show them without calculating."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from benchmark.statistics.rates import binomial_interval
from benchmark.statistics.requirement import Cost


@dataclass(frozen=True)
class Costs:
    """Of errors, in one currency, and the share of defective parts; None where nobody said so."""

    missed: float | None = None
    false_alarm: float | None = None
    unsure: float | None = None
    defect_rate: float | None = None

    @classmethod
    def of(cls, cost: Cost | None) -> Costs:
        """Those of a requirement."""
        if cost is None:
            return cls()
        return cls(missed=cost.missed, false_alarm=cost.false_alarm, defect_rate=cost.defect_rate)


@dataclass(frozen=True)
class Cut:
    """Thresholds of raw scores, `upper` only where there are three verdicts, and how far a step goes."""

    lower: float
    upper: float | None
    step: float

    def moved(self, steps: int) -> Cut:
        """Both thresholds so many steps higher."""
        upper = None if self.upper is None else max(self.upper + steps * self.step, self.lower + steps * self.step)
        return Cut(lower=self.lower + steps * self.step, upper=upper, step=self.step)

    def verdict(self, score: float) -> str:
        """Good, unsure or defective."""
        if score >= (self.lower if self.upper is None else self.upper):
            return "defective"
        return "unsure" if score >= self.lower else "good"


@dataclass(frozen=True)
class Counts:
    """Of errors at a cut; rates and cost are empty texts where they cannot be worked out."""

    missed: int
    missed_rate: float | str
    missed_interval: tuple[float, float]
    false_alarms: int
    alarm_rate: float | str
    alarm_interval: tuple[float, float]
    unsure: int
    cost: float | str


def count(scores: pd.DataFrame, cut: Cut, costs: Costs) -> Counts:
    """Count the errors among images (label 0 good, 1 defective; score)."""
    called = scores["score"].map(cut.verdict)
    bad = scores["label"] == 1
    n_bad, n_good = int(bad.sum()), int((~bad).sum())
    missed, alarms = int((called[bad] == "good").sum()), int((called[~bad] == "defective").sum())
    unsure = [int((called[of] == "unsure").sum()) for of in (bad, ~bad)]
    rates = [k / max(n, 1) for k, n in ((missed, n_bad), (alarms, n_good), (unsure[0], n_bad), (unsure[1], n_good))]
    cost: float | str = ""
    if costs.missed is not None and costs.false_alarm is not None and costs.defect_rate is not None:
        looked_at = costs.unsure or 0.0
        of_bad, of_good = (
            rates[0] * costs.missed + rates[2] * looked_at,
            rates[1] * costs.false_alarm + rates[3] * looked_at,
        )
        cost = 1000 * (costs.defect_rate * of_bad + (1 - costs.defect_rate) * of_good)
    return Counts(
        missed=missed,
        missed_rate=rates[0] if n_bad else "",
        missed_interval=binomial_interval(missed, n_bad),
        false_alarms=alarms,
        alarm_rate=rates[1] if n_good else "",
        alarm_interval=binomial_interval(alarms, n_good),
        unsure=sum(unsure),
        cost=cost,
    )
