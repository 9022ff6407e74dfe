"""Runs spread over workers that may die: what a worker has to offer, and who carries out what."""

from __future__ import annotations

import logging
import pickle
import time
import traceback
from collections import deque
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from benchmark.one_run.options import RunOptions
from benchmark.one_run.runner import failed_record
from benchmark.one_run.shared_fit import fit_id, test_id, tests_one_of_several
from benchmark.plan.experiment import Experiment
from benchmark.records.record import Record

logger = logging.getLogger(__name__)

Outcome = tuple[Experiment, Record]
Answer = Record | Exception | None
"""A record, what ended the worker's call, or None when another sweep is at work on the experiment."""
Run = Callable[..., Record | None]
"""`run(experiment, output, options=…, error=…)` as `benchmark.one_run.runner.run_experiment`."""

MAX_POLL = 30.0  # s


class WorkerDiedError(RuntimeError):
    """A worker ended in the middle of a run: killed, crashed, or its machine is gone."""


@dataclass(eq=False)
class Task:
    """One experiment on its way through the workers.

    Attributes:
        experiment: What to run.
        output: Folder of records.
        options: How it is carried out.
        run: Carries it out.
        deaths: How each worker died that worked on it.
        error: What to record as its failure instead of running it.
    """

    experiment: Experiment
    output: Path
    options: RunOptions
    run: Run
    deaths: list[str] = field(default_factory=list)
    error: Exception | None = None

    @cached_property
    def fit(self) -> str:
        """Of `shared_fit.fit_id`, where it is that of other products or scores, too; else empty."""
        is_shared = tests_one_of_several(self.experiment) or test_id(self.experiment) in dict(self.options.poolings)
        return fit_id(self.experiment) if is_shared else ""

    def answer(self) -> Answer:
        """Carry the run out where this is called; what it raises is part of the answer and can be sent on."""
        try:
            known = {} if self.error is None else {"error": self.error}
            return self.run(self.experiment, self.output, options=self.options, **known)
        except Exception as error:
            return _sendable(error)


class Workers(Protocol):
    """Processes, here or elsewhere, that carry out one task each at a time."""

    n_attempts: int
    """How often a run may kill its worker before it counts as failed."""
    keeps_fits: bool
    """Whether a run comes to the worker that has fitted its model for another product, or other scores."""

    def has_room(self) -> bool:
        """Whether another task can be taken now."""

    def start(self, task: Task) -> None:
        """Take a task."""

    def wait(self) -> list[tuple[Task, Answer]]:
        """Block until a task has ended; `WorkerDiedError` is the answer of one whose worker died."""

    def close(self) -> None:
        """End all workers, also those at work."""


def run_on_workers(
    experiments: Sequence[Experiment], output: Path, *, options: RunOptions, run: Run, workers: Workers
) -> Generator[Outcome]:
    """Carry out experiments on workers and yield each with its record as it ends; `workers` are closed at the end.

    A run whose worker died goes to the end of the queue. One that another sweep is at work on is asked for again when
    all others are done. Products of one fit follow each other on one worker where the workers can do that; else each is
    fitted again.
    """
    waiting = deque(Task(experiment, output, options, run) for experiment in experiments)
    busy: list[Task] = []
    fits: list[str] = []
    n_running, pause = 0, 1.0
    try:
        while waiting or busy or n_running:
            while workers.has_room() and (task := _take(waiting, fits if workers.keeps_fits else ())) is not None:
                workers.start(task)
                fits.append(task.fit)
                n_running += 1
            if not n_running:
                time.sleep(pause)
                pause = min(2 * pause, MAX_POLL)
                waiting.extend(busy)
                busy.clear()
                continue
            for task, answer in workers.wait():
                n_running -= 1
                fits.remove(task.fit)
                if isinstance(answer, WorkerDiedError):
                    if record := _handle_worker_death(task, answer, workers.n_attempts):
                        yield task.experiment, record
                    else:
                        waiting.append(task)
                elif isinstance(answer, Exception):
                    raise answer
                elif answer is None:
                    busy.append(task)
                else:
                    pause = 1.0
                    yield task.experiment, answer
    finally:
        workers.close()


def _take(waiting: deque[Task], fits: Collection[str]) -> Task | None:
    """Take the first task whose fit is not at work: then its worker can go on with the same model."""
    for task in waiting:
        if not task.fit or task.fit not in fits:
            waiting.remove(task)
            return task
    return None


def _handle_worker_death(task: Task, death: WorkerDiedError, n_attempts: int) -> Record | None:
    """Prepare a task for its repetition, or for being recorded as failed; the record when even that killed a worker."""
    if task.error is not None:
        return failed_record(task.experiment, task.error)
    task.deaths.append(str(death))
    name = f"{task.experiment.model_name} seed {task.experiment.seed}"
    if len(task.deaths) < n_attempts:
        logger.warning("%s: its worker died (%s); the run is repeated", name, death)
        return None
    reasons = ", ".join(dict.fromkeys(task.deaths))
    task.error = WorkerDiedError(
        f"the worker that carried out this run died, {n_attempts} times of {n_attempts} ({reasons}), most often for "
        "lack of memory; give it more (fewer runs at a time, smaller images or batches), then run it again by "
        "--overwrite failed"
    )
    return None


def _sendable(error: Exception) -> Exception:
    """The error itself if it survives the way to another process, else its text; with its traceback as a note."""
    try:
        copied = pickle.loads(pickle.dumps(error))
    except Exception:
        copied = None
    sent = error if type(copied) is type(error) else RuntimeError(f"{type(error).__name__}: {error}")
    sent.add_note("".join(traceback.format_exception(error)))
    return sent
