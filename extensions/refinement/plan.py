"""What a refinement is to do, as its configuration says it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from extensions.configuration import ConfigError
from extensions.configuration.checked_values import is_number, is_whole
from extensions.configuration.errors import did_you_mean

RETRAIN = ("every", "ends", "last", "never")
ASKS_DETECTOR = frozenset({
    "entropy", "margin", "least_confidence", "entropy_in_batch", "margin_in_batch", "least_confidence_in_batch",
    "discrepancy",
})  # fmt: skip
REVIEW = "review"  # the strategy of a plan whose removals a person decided


@dataclass(frozen=True)
class Plan:
    """How training images are refined.

    Args:
        strategy: What scores the images, a name of `extensions.refinement.STRATEGIES`.
        rule: What removes by the scores, a name of `extensions.refinement.RULES`.
        rule_arguments: For that function.
        rounds: How often images are removed, at most; it ends when the rule removes none.
        floor: Share of the images that is always kept.
        retrain: Train and test the detector in `every` round, at both `ends` (on all images and on those that are
            left), the `last` time only (a grid needs the detector of all images once, not once a strategy), or
            `never` (images are ranked and removed). A strategy that asks the detector needs `every`.
        backbone: timm name of the frozen network whose features the strategies compare; None for the detector's, and
            EfficientNet-Lite0 for a detector that has none.
        weights: Its weights file; None looks where every backbone's are looked for.
        image_size: Height and width in px that it sees.
        compared: Strategies that score the images of the first round, too, and remove nothing: one training of a
            detector tells how well each of them finds what was injected.
        dropped: Names of the images that a person decided to remove; for the strategy `review`, which removes them
            before the only round.
    """

    strategy: str = "consensus"
    rule: str = "mad"
    rule_arguments: dict[str, Any] = field(default_factory=dict)
    rounds: int = 4
    floor: float = 0.8
    retrain: str = "every"
    backbone: str | None = None
    weights: str | None = None
    image_size: int = 224
    compared: tuple[str, ...] = ()
    dropped: tuple[str, ...] | None = None

    @classmethod
    def from_config(cls, section: Mapping[str, Any] | None) -> Plan:
        """The plan of a section `refinement:`.

        Raises:
            ConfigError: An unknown key or name, or a value that cannot be.
        """
        given = dict(section or {})
        known = [entry.name for entry in fields(cls)]
        for key in given:
            if key not in known:
                near = did_you_mean(str(key), known)
                msg = f"refinement: unknown key {key!r}, expected one of {', '.join(known)}{near}"
                raise ConfigError(msg)
        for name in ("compared", "dropped"):
            if given.get(name) is not None:
                is_list = isinstance(given[name], list | tuple) and all(isinstance(v, str) for v in given[name])
                _check(is_list, name, given[name], "a list of names")
                given[name] = tuple(given[name])
        plan = cls(**given)
        _check_names(plan)
        _check(plan.retrain in RETRAIN, "retrain", plan.retrain, f"one of {', '.join(RETRAIN)}")
        _check(is_whole(plan.rounds, 0), "rounds", plan.rounds, "a whole number from 0 on")
        _check(is_number(plan.floor) and 0 < plan.floor <= 1, "floor", plan.floor, "a share above 0 and up to 1")
        _check(is_whole(plan.image_size, 32), "image_size", plan.image_size, "a whole number of px, 32 or more")
        for name in ("backbone", "weights"):
            value = getattr(plan, name)
            _check(value is None or isinstance(value, str), name, value, "a name, or null for the detector's")
        _check_rule(plan)
        asking = sorted(ASKS_DETECTOR & {plan.strategy, *plan.compared})
        if asking and plan.retrain != "every":
            msg = (
                f"refinement: strategy {asking[0]!r} asks the detector for its scores, so retrain must be 'every', "
                f"found {plan.retrain!r}"
            )
            raise ConfigError(msg)
        return plan

    @property
    def differing(self) -> dict[str, Any]:
        """The arguments that differ from their defaults, strategy and rule always among them."""
        default = asdict(Plan())
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if name in ("strategy", "rule") or value != default[name]
        }


def _check_names(plan: Plan) -> None:
    from extensions.refinement.rules import RULES
    from extensions.refinement.strategies import STRATEGIES

    if (plan.strategy == REVIEW) != (plan.dropped is not None):
        msg = f"refinement: strategy {REVIEW!r} and 'dropped' go together; a reviewed suspects.csv is given by --review"
        raise ConfigError(msg)
    asked = [("strategy", plan.strategy, {*STRATEGIES, REVIEW}), ("rule", plan.rule, RULES)]
    for name, value, table in (*asked, *(("compared", value, STRATEGIES) for value in plan.compared)):
        _check(isinstance(value, str), name, value, "one name; a grid of several: {grid: [NAME, NAME]} in a benchmark")
        if value not in table:
            msg = f"refinement: {name} is {value!r}{did_you_mean(str(value), table, list_all=True)}"
            raise ConfigError(msg)


def _check_rule(plan: Plan) -> None:
    """The rule takes its arguments, and their values."""
    from extensions.refinement.rules import RULES

    rule = RULES[plan.rule]
    known = [name for name in inspect.signature(rule).parameters if name not in ("scores", "n_start", "floor")]
    _check(isinstance(plan.rule_arguments, dict), "rule_arguments", plan.rule_arguments, "names with values")
    for name in plan.rule_arguments:
        if name not in known:
            msg = f"refinement: rule {plan.rule!r} takes no {name!r}{did_you_mean(str(name), known, list_all=True)}"
            raise ConfigError(msg)
        value = plan.rule_arguments[name]
        _check(is_number(value) and math.isfinite(value), f"rule_arguments.{name}", value, "a number")
    try:
        rule(np.zeros(4), n_start=4, floor=plan.floor, **plan.rule_arguments)
    except (TypeError, ValueError) as error:
        msg = f"refinement: rule {plan.rule!r}: {error}"
        raise ConfigError(msg) from error


def _check(holds: bool, name: str, found: Any, expected: str) -> None:
    if not holds:
        msg = f"refinement: {name} is {found!r}, expected {expected}"
        raise ConfigError(msg)
