"""The trials of one detector: kept by Optuna in a file, resumed from it, told as a table."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.tune.kept_scores import damaged, keep_scores, kept_scores, scores_file
from benchmark.tune.lead import Lead, lead_of
from benchmark.tune.objective import Quality
from benchmark.tune.space import Choice, Space
from extensions.configuration import ConfigError

if TYPE_CHECKING:
    import pandas as pd
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

N_RANDOM = 8
"""Trials before the sampler begins to learn from them."""
MOST_LISTED = 100_000
JOURNAL = "trials.log"


class Trials:
    """The trials of one detector.

    Sampler: the tree-structured Parzen estimator (Bergstra et al. 2011, Algorithms for Hyper-Parameter Optimization,
    https://papers.nips.cc/paper/4443), several arguments at once. Pruner: of several data sets a paired Wilcoxon test
    against the best trial so far, data set by data set; of one the median of the other trials' first looks.

    Args:
        folder: Output folder; its file is Optuna's journal, one JSON object a line, beside the scores of each trial.
        name: Of the detector, unique in the folder.
        space: What is tried.
        n_steps: Looks of a trial, at the most.
        seed: Of the sampler.

    Raises:
        ConfigError: The journal that is there cannot be read.
    """

    def __init__(self, folder: Path, name: str, space: Space, *, n_steps: int, seed: int = 0) -> None:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.name = name
        self._folder = folder
        self.space = space
        with warnings.catch_warnings():  # Optuna calls it experimental since 3.6
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            paired = optuna.pruners.WilcoxonPruner(p_threshold=0.1, n_startup_steps=3)
        pruner = paired if n_steps > 2 else optuna.pruners.MedianPruner(n_startup_trials=4)
        journal = folder / JOURNAL
        mend(journal)
        try:
            storage = JournalStorage(JournalFileBackend(str(journal)))
            self._study: Study = optuna.create_study(
                storage=storage, study_name=name, direction="maximize", pruner=pruner, load_if_exists=True
            )
        except (ValueError, KeyError, TypeError) as error:
            msg = f"{journal}: no journal of a search ({error}); delete the folder, or give another --output"
            raise ConfigError(msg) from error
        # Resumed, another seed: the same one would propose the same settings again.
        n_before = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = optuna.samplers.TPESampler(
            seed=seed + n_before, multivariate=True, n_startup_trials=N_RANDOM, warn_independent_sampling=False
        )
        self._rng = random.Random(seed + n_before)
        self._forget_unfinished()

    def _forget_unfinished(self) -> None:
        """What was at work when a search was killed has failed; the default is run before all else."""
        from optuna.trial import TrialState

        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)
        waiting = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        done = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if not any(trial.params == self.space.default for trial in done) and not waiting:
            self._study.enqueue_trial(self.space.default)

    def ask(self) -> tuple[Trial, dict[str, Choice]] | None:
        """The next trial and its choices, which no trial had before; None where all settings were tried."""
        from optuna.trial import TrialState

        if len(self._tried) >= self.space.n_settings:
            return None
        for _ in range(3):
            trial = self._study.ask()
            choices = {one.name: trial.suggest_categorical(one.name, one.choices) for one in self.space.dimensions}
            if _key(choices) not in self._tried:
                return trial, choices
            self._study.tell(trial, state=TrialState.FAIL)  # leaves the sampler's picture as it is
            if (fresh := self._untried()) is not None:
                self._study.enqueue_trial(fresh)
        return None

    def _untried(self) -> dict[str, Choice] | None:
        """Settings at random among those that were never tried."""
        names = [one.name for one in self.space.dimensions]
        listed = islice(product(*(one.choices for one in self.space.dimensions)), MOST_LISTED)
        left = [values for values in listed if _key(dict(zip(names, values, strict=True))) not in self._tried]
        return dict(zip(names, self._rng.choice(left), strict=True)) if left else None

    @property
    def _tried(self) -> set[str]:
        return {_key(one.params) for one in self.rows if "state" in one.user_attrs}

    @property
    def rows(self) -> list[FrozenTrial]:
        """All trials that had an end, in the order in which they were run."""
        return [one for one in self._study.get_trials(deepcopy=False) if one.state.is_finished()]

    def report(self, trial: Trial, step: int, qualities: list[Quality]) -> bool:
        """Tell the pruner what a look gave; whether the trial is hopeless. That of the default never is.

        Args:
            trial: At work.
            step: Number of the look, from 0 on.
            qualities: Of the looks so far.
        """
        trial.report(qualities[-1].value, step)
        return trial.params != self.space.default and trial.should_prune()

    def end(self, trial: Trial, *, state: str, seconds: float, n_looks: int, quality: Quality | None = None,
            scores: Sequence[pd.DataFrame] = (), error: str = "") -> None:  # fmt: skip
        """Keep how a trial ended.

        Args:
            trial: That has ended.
            state: `complete`, `pruned` or `failed`.
            seconds: It took.
            n_looks: It had.
            quality: Of a complete trial, on all parts; of a pruned one on what it saw.
            scores: Of a complete trial, on each part, see `keep_scores`.
            error: Of a failed one, in a sentence.
        """
        from optuna.trial import TrialState

        if state == "complete":  # before all else: without its scores it did not end
            keep_scores(self._file(trial), scores)
        facts = {"state": state, "seconds": seconds, "n_looks": n_looks, "error": error}
        if quality is not None:
            facts["quality"] = json.dumps(asdict(quality))
        for name, value in facts.items():
            trial.set_user_attr(name, value)
        if state == "complete" and quality is not None:
            self._study.tell(trial, quality.value)
        else:
            self._study.tell(trial, state=TrialState.PRUNED if state == "pruned" else TrialState.FAIL)

    @property
    def seconds(self) -> float:
        """That all trials took."""
        return sum(float(one.user_attrs.get("seconds", 0.0)) for one in self.rows)

    def best(self) -> FrozenTrial | None:
        """The complete trial of the best quality; None where there is none."""
        complete = [one for one in self.rows if one.user_attrs.get("state") == "complete"]
        return min(complete, key=lambda one: (quality_of(one).order, one.number), default=None)  # type: ignore[union-attr]

    def default(self) -> FrozenTrial | None:
        """The complete trial of the default settings."""
        complete = [one for one in self.rows if one.user_attrs.get("state") == "complete"]
        return next((one for one in complete if one.params == self.space.default), None)

    def lead(self) -> Lead | None:
        """Of the best trial over the default; None before both are known, and where they are the same.

        Raises:
            ConfigError: The scores of one of them are not there, or damaged.
        """
        best, default = self.best(), self.default()
        if best is None or default is None or best.number == default.number:
            return None
        found, usual = kept_scores(self._file(best)), kept_scores(self._file(default))
        try:
            return lead_of(found, usual)
        except ValueError as error:
            raise ConfigError(damaged(self._file(best), error)) from error

    def chosen(self) -> FrozenTrial | None:
        """The best trial where its lead is more than one standard error, else the default; None before that ended."""
        lead = self.lead()
        return self.best() if lead is not None and lead.is_enough else self.default()

    def _file(self, trial: Trial | FrozenTrial) -> Path:
        return scores_file(self._folder, self.name, trial.number)


def mend(journal: Path) -> None:
    """Cut what a killed process left of its last line; Optuna would read nothing after it."""
    if not journal.is_file():
        return
    content = journal.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with journal.open("r+b") as file:
            file.truncate(whole)


def quality_of(trial: FrozenTrial) -> Quality | None:
    """What a trial gave; None for one that failed before its first look ended."""
    text = trial.user_attrs.get("quality")
    return Quality(**json.loads(text)) if text else None


def _key(choices: Mapping[str, Choice]) -> str:
    return json.dumps(dict(sorted(choices.items())))
