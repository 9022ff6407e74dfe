"""What a line asks of a detector: at most so many defects missed, so many false alarms, or the least cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KEYS = ("max_missed", "max_false_alarms", "cost", "cross_conformal")
COSTS = ("missed", "false_alarm", "defect_rate")
_EXAMPLES = "{max_false_alarms: 0.02}, {max_missed: 0.0} or {cost: {missed: 500, false_alarm: 3, defect_rate: 0.004}}"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What errors cost, in any one currency.

    Args:
        missed: Of a defective part that is called good.
        false_alarm: Of a good part that is called defective.
        defect_rate: Share of the parts on the line that are defective, from 0 to 1.
    """

    missed: float
    false_alarm: float
    defect_rate: float


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """What a threshold has to keep; exactly one of a rate, both rates, or a cost is given.

    Args:
        max_missed: Largest share of the defective images that may be called good, from 0 to 1.
        max_false_alarms: Largest share of the good images that may be called defective, from 0 to 1. With
            ``max_missed`` there are two thresholds, and what lies between them is unsure.
        cost: The expected cost is to be least.
        cross_conformal: Number of folds of the training images from which the threshold is found without any defect;
            None takes it from held-out labelled images. Only with ``max_false_alarms`` alone.
    """

    max_missed: float | None = None
    max_false_alarms: float | None = None
    cost: Cost | None = None
    cross_conformal: int | None = None

    @property
    def has_band(self) -> bool:
        """Whether there are three verdicts: good, defective and unsure."""
        return self.max_missed is not None and self.max_false_alarms is not None

    @property
    def told(self) -> str:
        """As a person reads it, such as ``at most 2 % false alarms``."""
        if self.cost is not None:
            cost = self.cost
            return (
                f"least cost (missed {cost.missed:g}, false alarm {cost.false_alarm:g}, "
                f"{percent(cost.defect_rate)} defective)"
            )
        parts = []
        if self.max_missed is not None:
            parts.append("no defect missed" if self.max_missed == 0 else f"at most {percent(self.max_missed)} missed")
        if self.max_false_alarms is not None:
            rate = self.max_false_alarms
            parts.append("no false alarm" if rate == 0 else f"at most {percent(rate)} false alarms")
        return ", ".join(parts)

    @property
    def as_options(self) -> list[str]:
        """As a command line has it, such as ``max_false_alarms=0.02`` or ``cost.missed=500``."""
        found = self.on_disk
        cost = found.pop("cost", {})
        return [f"{name}={value:g}" for name, value in (found | {f"cost.{n}": v for n, v in cost.items()}).items()]

    @property
    def on_disk(self) -> dict[str, Any]:
        """As a configuration has it; what is not given is left out."""
        found: dict[str, Any] = {
            name: value for name in KEYS if name != "cost" and (value := getattr(self, name)) is not None
        }
        return found | ({"cost": {name: getattr(self.cost, name) for name in COSTS}} if self.cost else {})


NO_DEFECT_MISSED = Requirement(max_missed=0.0)
STANDARD = (Requirement(max_false_alarms=0.05), Requirement(max_false_alarms=0.01), NO_DEFECT_MISSED)
"""What is shown where nothing is required; the first stands in the leaderboard."""


def read_requirement(found: Any) -> Requirement | None:
    """A requirement from a configuration; None stands for none.

    Raises:
        ValueError: One sentence: what was found, what was expected.
    """
    if found is None:
        return None
    if not isinstance(found, Mapping) or not found:
        msg = f"requirement is {found!r}; expected {_EXAMPLES}"
        raise ValueError(msg)
    if unknown := [str(name) for name in found if name not in KEYS]:
        msg = f"requirement: unknown key {unknown[0]!r}; expected some of {', '.join(KEYS)}, such as {_EXAMPLES}"
        raise ValueError(msg)
    rates = {name: found[name] for name in ("max_missed", "max_false_alarms") if found.get(name) is not None}
    for name, value in rates.items():
        _check_number(f"requirement: {name}", value, high=1.0)
    cost = found.get("cost")
    if cost is not None and rates:
        msg = f"requirement has both {next(iter(rates))} and cost; expected a rate or a cost: leave one out"
        raise ValueError(msg)
    if cost is None and not rates:
        msg = f"requirement has neither a rate nor a cost; expected {_EXAMPLES}"
        raise ValueError(msg)
    folds = found.get("cross_conformal")
    if folds is not None:
        if isinstance(folds, bool) or not isinstance(folds, int) or folds < 2:
            msg = f"requirement: cross_conformal is {folds!r}; expected a number of folds, a whole number from 2 on"
            raise ValueError(msg)
        if list(rates) != ["max_false_alarms"]:
            msg = (
                "requirement: cross_conformal finds a threshold from good images alone, so it goes with "
                f"max_false_alarms and nothing else; found {', '.join([*rates, *(['cost'] if cost else [])])}"
            )
            raise ValueError(msg)
    return Requirement(**rates, cost=None if cost is None else _cost(cost), cross_conformal=folds)


def _cost(found: Any) -> Cost:
    if not isinstance(found, Mapping) or set(found) != set(COSTS):
        msg = f"requirement: cost is {found!r}; expected {', '.join(COSTS)}, all three, such as {_EXAMPLES}"
        raise ValueError(msg)
    _check_number("requirement: cost: missed", found["missed"])
    _check_number("requirement: cost: false_alarm", found["false_alarm"])
    _check_number("requirement: cost: defect_rate", found["defect_rate"], high=1.0)
    if not found["missed"] and not found["false_alarm"]:
        msg = "requirement: cost: missed and false_alarm are both 0; expected at least one above 0"
        raise ValueError(msg)
    return Cost(**{name: float(found[name]) for name in COSTS})


def _check_number(what: str, value: Any, *, high: float | None = None) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= (float("inf") if high is None else high) or value == float("inf"):
        expected = "a share from 0 to 1, such as 0.02 for 2 %" if high is not None else "a number from 0 on"
        msg = f"{what} is {value!r}; expected {expected}"
        raise ValueError(msg)


def percent(share: float, *, digits: int = 3) -> str:
    """A share as text, such as `2.5 %`."""
    return f"{100 * share:.{digits}g} %"
