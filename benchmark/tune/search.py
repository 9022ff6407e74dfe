"""The search: trials one after the other, of each detector in turn, until the time is up."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.tune.objective import Quality, mean_quality
from benchmark.tune.part import Part
from benchmark.tune.scoring import judge
from benchmark.tune.space import Choice
from benchmark.tune.trials import Trials
from extensions.runtime.disk import DiskFullError
from extensions.runtime.explained import explained
from extensions.runtime.progress import progress_bar, say

logger = logging.getLogger(__name__)

FIRST_LOOK = 0.3
"""Share of the images that a trial on a single data set looks at first."""
MOST_FAILURES = 5  # in a row


class TuneError(RuntimeError):
    """A search that cannot go on; the message is one sentence."""


@dataclass(frozen=True)
class Look:
    """One step of a trial.

    Attributes:
        part: What is looked at.
        counts: Whether it is a part of the result; a first look only says whether a second one is worth its time.
    """

    part: Part
    counts: bool = True


def looks_at(parts: Sequence[Part], *, seed: int) -> list[Look]:
    """The steps of a trial: the data sets in turn; of a single one a share of its images, then all."""
    if len(parts) > 1:
        return [Look(part) for part in parts]
    return [Look(parts[0].reduced(FIRST_LOOK, seed=seed), counts=False), Look(parts[0])]


def search(
    detectors: Sequence[tuple[Trials, dict[str, Any]]],
    looks: Sequence[Look],
    *,
    budget: float,
    layers: Callable[[dict[str, Any]], tuple[str, ...]],
    seed: int = 0,
    after: Callable[[], Any] = lambda: None,
    progress: bool = True,
) -> None:
    """Run trials until those in the folder have taken `budget` seconds; the last one may go beyond.

    The detector that took the least time is next. One that fails is a trial, too; the default's failure ends it all.

    Args:
        detectors: The trials of each, and the arguments of its trainer.
        looks: The steps of a trial.
        budget: Seconds, in all calls together.
        layers: By model, all layers of its backbone that any trial looks at.
        seed: Of the fits.
        after: Called after each trial, to write what is known so far.
        progress: Whether to show a bar.

    Raises:
        TuneError: The default settings fail, or several trials in a row.
    """
    bar = progress_bar(title="tune", total=round(budget), unit="second", hidden=not progress, delay=0)
    left = list(detectors)
    with bar, tempfile.TemporaryDirectory() as folder:
        bar.update(min(round(budget), round(sum(trials.seconds for trials, _ in detectors))))
        while left and (spent := sum(trials.seconds for trials, _ in detectors)) < budget:
            trials, trainer = min(left, key=lambda one: one[0].seconds)
            asked = trials.ask()
            if asked is None:
                say(f"{trials.name}: all {trials.space.n_settings} settings were tried")
                left.remove((trials, trainer))
                continue
            trial, choices = asked
            began = time.perf_counter()
            told = _carry_out(trials, trial, choices, looks, trainer, layers=layers, seed=seed, workspace=Path(folder))
            say(told)
            bar.update(min(round(time.perf_counter() - began), max(0, round(budget - spent))))
            after()
            _check_failures(trials)


def _carry_out(
    trials: Trials,
    trial: Any,
    choices: dict[str, Choice],
    looks: Sequence[Look],
    trainer: dict[str, Any],
    *,
    layers: Callable[[dict[str, Any]], tuple[str, ...]],
    seed: int,
    workspace: Path,
) -> str:
    """One trial, kept however it ends; a line about it."""
    started = time.perf_counter()
    seen: list[Quality] = []
    scores: list[pd.DataFrame] = []
    state, error = "complete", ""
    try:
        model = trials.space.at(choices)
        wanted = layers(model)
        for step, look in enumerate(looks):
            judged = judge(model, look.part, workspace=workspace, seed=seed, trainer=trainer, layers=wanted)
            seen.append(judged.quality)
            scores += [judged.scores] if look.counts else []
            if step < len(looks) - 1 and trials.report(trial, step, seen):
                state = "pruned"
                break
    except DiskFullError:
        raise
    except Exception as caught:
        logger.debug("trial failed", exc_info=True)
        state, error = "failed", explained(caught, what=trials.name)
    counted = [one for one, look in zip(seen, looks, strict=False) if look.counts] or seen
    quality = mean_quality(counted) if counted else None
    seconds = time.perf_counter() - started
    trials.end(trial, state=state, seconds=seconds, n_looks=len(seen), quality=quality, scores=scores, error=error)
    settings = ", ".join(f"{name}={value}" for name, value in choices.items() if value != trials.space.default[name])
    what = f"{state:8} {trials.name}: {settings or 'default settings'}"
    if quality is None or error:
        return f"{what}: {error}"
    return f"{what}: image AUROC {quality.image_AUROC:.4f}, {quality.latency_ms:.0f} ms an image, {seconds:.0f} s"


def _check_failures(trials: Trials) -> None:
    rows = [one for one in trials.rows if "state" in one.user_attrs]
    last = [one for one in rows[-MOST_FAILURES:] if one.user_attrs["state"] == "failed"]
    if rows and rows[-1].params == trials.space.default and rows[-1].user_attrs["state"] == "failed":
        msg = f"the default settings failed, so there is nothing to compare with: {rows[-1].user_attrs['error']}"
        raise TuneError(msg)
    if len(last) == MOST_FAILURES:
        msg = f"{MOST_FAILURES} trials in a row failed, the last one: {last[-1].user_attrs['error']}"
        raise TuneError(msg)
