"""The detector that was fitted last, for runs of a sweep that differ from its own in their test alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from benchmark.one_run.preparation import Prepared
from benchmark.plan.experiment import Experiment
from benchmark.records.record_sections import ReusedSplit, Training
from extensions.data.joint_training import ONE_FOR_ALL, TESTED, tested_product, training_of
from extensions.data.score_pooling import ScorePooling

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule

    from benchmark.one_run.evaluation import ScoreCollector

POOLING = "score_pooling"


@dataclass(frozen=True)
class Tested:
    """What a test found, whose maps give the scores of other runs, too.

    Attributes:
        test_id: The same for runs that differ in their `score_pooling` alone.
        collector: With the scores of each of these.
        seconds: The test took.
    """

    test_id: str
    collector: ScoreCollector
    seconds: float


@dataclass(frozen=True)
class Fitted:
    """A fitted model and how its fit went.

    Attributes:
        seconds: The fit took, beside what it reused.
        reused: What it took from the cache.
        reused_seconds: What it reused had taken; None where that is not known.
        peak_bytes: Memory that fit and first test took.
        tested: Its last test on images as they are, if there was one.
    """

    model: AnomalibModule
    training: Training
    seconds: float
    reused: ReusedSplit | None
    reused_seconds: float | None = 0.0
    peak_bytes: int = 0
    tested: Tested | None = None

    def tested_by(self, experiment: Experiment) -> ScoreCollector | None:
        """What its last test gives a run that takes other scores from the same maps; None for one that has to test."""
        name = score_pooling(experiment)
        if name is None or self.tested is None or self.tested.test_id != test_id(experiment):
            return None
        return self.tested.collector.rescored(name)

    @property
    def whole_seconds(self) -> float | None:
        """What the fit takes with nothing at hand."""
        return None if self.reused_seconds is None else self.seconds + self.reused_seconds


class LastFit:
    """One fitted model of this process: that of the last run which others of the sweep share."""

    def __init__(self) -> None:
        self._key = ""
        self._fitted: Fitted | None = None
        self._pooling: str | None = None  # of the run that fitted it

    def take(self, prepared: Prepared, shared: Sequence[str]) -> Fitted | None:
        """The model that a fit of this run would give, if it is there and the run need not fit itself.

        Any other is forgotten, so that it takes none of the memory that is measured. A run that tests plainly fits
        itself, for it may leave a checkpoint that is trained further; but the products of one model share it, and runs
        that take their scores otherwise from the same maps.
        """
        if self._key != _key(prepared, shared):
            self._key, self._fitted = "", None
        experiment = prepared.experiment
        is_shared = any(one.in_test for one in experiment.augmentations) or tests_one_of_several(experiment)
        return self._fitted if is_shared or score_pooling(experiment) != self._pooling else None

    def keep(self, prepared: Prepared, shared: Sequence[str], fitted: Fitted) -> None:
        """Remember it, if others share it."""
        if self._fitted is None or self._fitted.model is not fitted.model:
            self._pooling = score_pooling(prepared.experiment)
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


def score_pooling(experiment: Experiment) -> str | None:
    """What a run asks its model's scores to be, where that needs no fit of its own; else None."""
    name: str | None = (experiment.model.get("init_args") or {}).get(POOLING)
    return name if name is not None and _scores_at_use(experiment.model["class_path"]) else None


def shared_poolings(experiments: Sequence[Experiment]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """By `test_id` what runs of these experiments ask the scores of one test to be, where it is several."""
    asked: dict[str, dict[str, None]] = {}
    for one in experiments:
        if one.refinement is None and not any(found.in_test for found in one.augmentations):
            asked.setdefault(test_id(one), {})[score_pooling(one) or ""] = None
    return tuple((name, tuple(filter(None, found))) for name, found in asked.items() if len(found) > 1)


def poolings_of(experiment: Experiment, shared: Sequence[tuple[str, Sequence[str]]]) -> dict[str, ScorePooling]:
    """Those of `shared_poolings` that the maps of this run's test give beside its own scores."""
    found = {}
    for name in dict(shared).get(test_id(experiment), ()):
        with suppress(ValueError):  # the network's own, or none at all, as its run will say
            found[name] = ScorePooling.named(name)
    return found


def test_id(experiment: Experiment) -> str:
    """The same for runs that differ in how they take scores from the same maps."""
    return _without_pooling(experiment).experiment_id


def fits_together(experiments: Sequence[Experiment]) -> list[Experiment]:
    """The experiments as given, but those that differ in their `score_pooling` alone follow the first of them."""
    first: dict[str, int] = {}
    places = [first.setdefault(test_id(one), number) for number, one in enumerate(experiments)]
    return [experiments[number] for number in sorted(range(len(places)), key=places.__getitem__)]


def _without_pooling(experiment: Experiment) -> Experiment:
    if score_pooling(experiment) is None:
        return experiment
    arguments = {name: value for name, value in experiment.model["init_args"].items() if name != POOLING}
    return replace(experiment, model={**experiment.model, "init_args": arguments})


@cache
def _scores_at_use(class_path: str) -> bool:
    from extensions.configuration import ConfigError
    from extensions.configuration.classes import import_class, known_classes, resolve_class_path
    from extensions.models.common.score_pooling_mixin import ScorePoolingMixin

    try:
        kind = import_class(resolve_class_path(class_path, "model"), "model", known_classes("model"))
    except ConfigError:  # its run says so
        return False
    return issubclass(kind, ScorePoolingMixin) and not kind.pooling_decides_fit


def _fit(experiment: Experiment) -> Experiment:
    """The experiment without what happens in its test."""
    experiment = _without_pooling(experiment)
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
