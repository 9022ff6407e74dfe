"""The detector that was fitted last, for runs of a sweep that differ from its own in their test alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmark.one_run.preparation import Prepared
from benchmark.plan.experiment import Experiment
from benchmark.records.record_sections import ReusedSplit, Training
from extensions.data.joint_training import ONE_FOR_ALL, TESTED, tested_product, training_of

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule


@dataclass(frozen=True)
class Fitted:
    """A fitted model and how its fit went.

    Attributes:
        seconds: The fit took, beside what it reused.
        reused: What it took from the cache.
        reused_seconds: What it reused had taken; None where that is not known.
        peak_bytes: Memory that fit and first test took.
    """

    model: AnomalibModule
    training: Training
    seconds: float
    reused: ReusedSplit | None
    reused_seconds: float | None = 0.0
    peak_bytes: int = 0

    @property
    def whole_seconds(self) -> float | None:
        """What the fit takes with nothing at hand."""
        return None if self.reused_seconds is None else self.seconds + self.reused_seconds


class LastFit:
    """One fitted model of this process: that of the last run which others of the sweep share."""

    def __init__(self) -> None:
        self._key = ""
        self._fitted: Fitted | None = None

    def take(self, prepared: Prepared, shared: Sequence[str]) -> Fitted | None:
        """The model that a fit of this run would give, if it is there and the run need not fit itself.

        Any other is forgotten, so that it takes none of the memory that is measured. A run that tests plainly fits
        itself, for it may leave a checkpoint that is trained further; but the products of one model share it.
        """
        if self._key != _key(prepared, shared):
            self._key, self._fitted = "", None
        experiment = prepared.experiment
        is_shared = any(one.in_test for one in experiment.augmentations) or tests_one_of_several(experiment)
        return self._fitted if is_shared else None

    def keep(self, prepared: Prepared, shared: Sequence[str], fitted: Fitted) -> None:
        """Remember it, if others share it."""
        self._key = _key(prepared, shared)
        self._fitted = fitted if self._key else None


last_fit = LastFit()


def shared_fits(experiments: Sequence[Experiment]) -> tuple[str, ...]:
    """Ids of the fits that several of these experiments have in common."""
    counts = Counter(fit_id(e) for e in experiments if e.refinement is None)
    return tuple(sorted(name for name, n in counts.items() if n > 1))


def fit_id(experiment: Experiment) -> str:
    """The same for runs that have one fit, before data and weights are looked at."""
    return _fit(experiment).experiment_id


def tests_one_of_several(experiment: Experiment) -> bool:
    """Whether it is trained on several products and tested on one of them."""
    arguments = experiment.data.get("init_args") or {}
    return training_of(arguments) == ONE_FOR_ALL and tested_product(arguments) is not None


def _fit(experiment: Experiment) -> Experiment:
    """The experiment without what happens in its test."""
    trained = [replace(one, where="train").told for one in experiment.augmentations if one.in_training]
    data = experiment.data
    if tests_one_of_several(experiment):
        arguments = {name: value for name, value in data["init_args"].items() if name not in TESTED}
        data = {**data, "init_args": arguments}
    return replace(experiment, data=data, augmentation=trained or None)


def _key(prepared: Prepared, shared: Sequence[str]) -> str:
    """What decides a fit, data and weights included; empty for one that no other run shares.

    A placeholder for the category may give each product a model of its own.
    """
    if prepared.experiment.refinement is not None or fit_id(prepared.experiment) not in shared:
        return ""
    fit = _fit(prepared.resolved)
    weights, data = prepared.weights, prepared.fingerprint
    sha256 = None
    if data is not None:
        sha256 = data.training_sha256 if tests_one_of_several(prepared.experiment) else data.sha256
    return fit.key(weights_sha256=weights.sha256 if weights else None, data_sha256=sha256)
