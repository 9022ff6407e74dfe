"""Runs that take no time, or go wrong as a test wants, and leave records as real ones do."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from benchmark.one_run.options import RunOptions
from benchmark.plan.experiment import Experiment
from benchmark.records.record import Record
from benchmark.records.record_sections import Failure
from benchmark.records.run_files import write_text
from benchmark.records.store import Store, run_folder
from extensions.runtime.disk import DiskFullError
from tests.benchmark.fabricated import as_record, make_record

QUIET = RunOptions(progress=False)


def make_experiment(seed: int, behavior: str = "", **changes: Any) -> Experiment:
    data = {"class_path": "made.up.Data", "init_args": {"behavior": behavior}}
    return Experiment(model={"class_path": "made.up.Model"}, data=data, seed=seed, **changes)


def carry_out(
    experiment: Experiment, output: Path, *, options: RunOptions, error: Exception | None = None
) -> Record | None:
    """In place of `run_experiment`; `starts/` notes every time that work began, with the process that did it."""
    store, key, behavior = Store(output), f"{experiment.seed:016x}", experiment.data["init_args"]["behavior"]
    with store.lock(key, wait=False) as mine:
        if not mine:
            return None
        folder = run_folder(dataset="elpv", category="mono", model="Model", backbone="resnet18", key=key)
        record = as_record(make_record(model="Model", seed=experiment.seed) | {"key": key, "folder": str(folder)})
        if there := store.read(folder):
            return there
        with store.workspace() as workspace:
            n_before = len(starts(output, experiment.seed))
            write_text(output / "starts" / f"{experiment.seed}-{n_before}", str(os.getpid()))
            if error is not None:
                failure = Failure(type=type(error).__name__, message=str(error))
                record = record.model_copy(update={"status": "failed", "error": failure})
            else:
                _behave(behavior, n_before)
            write_text(workspace / "scores.csv", "image,score\n")
            store.commit(workspace, record)
    return record


def _behave(behavior: str, n_before: int) -> None:
    if behavior == "kills its worker" or (behavior == "kills its worker once" and not n_before):
        os.kill(os.getpid(), signal.SIGKILL)
    if behavior == "hangs" or (behavior == "hangs once" and not n_before):
        time.sleep(600)
    if behavior == "takes a moment":
        time.sleep(0.2)
    if behavior == "finds the disk full":
        msg = "no room"
        raise DiskFullError(msg)


def starts(output: Path, seed: int) -> list[int]:
    """Processes that began to work on the run with this seed, in order."""
    paths = sorted((output / "starts").glob(f"{seed}-*"))
    return [int(path.read_text()) for path in paths]


def wait_for_start(output: Path, seed: int, *, seconds: float = 120) -> int:
    """The process that works on the run with this seed, once there is one."""
    deadline = time.monotonic() + seconds
    while not (found := starts(output, seed)):
        assert time.monotonic() < deadline, f"the run with seed {seed} was never begun"
        time.sleep(0.02)
    return found[-1]
