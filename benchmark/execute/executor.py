"""Where runs are carried out: in this process, in several, or on the machines of a Ray cluster."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.execute.workers import Outcome, Run, Workers, run_on_workers
from benchmark.one_run.options import RunOptions
from benchmark.one_run.runner import run_experiment
from benchmark.plan.experiment import Experiment
from extensions.configuration import ConfigError

POLL = 1.0  # s


@dataclass(frozen=True)
class Executor:
    """What an `--executor` value asks for.

    Args:
        kind: `local` (this process), `processes` or `ray`.
        n_processes: Runs at a time, for `processes`.
        address: Of a Ray cluster, for `ray`; empty starts Ray on this machine.
    """

    kind: str = "local"
    n_processes: int = 1
    address: str = ""


LOCAL = Executor()


def parse_executor(text: str) -> Executor:
    """Read `local`, `processes:N`, `ray` or `ray:ADDRESS`.

    Raises:
        ConfigError: The value is none of these.
    """
    if text == "local":
        return LOCAL
    if (match := re.fullmatch(r"processes:(\d+)", text)) and int(match[1]) > 0:
        return Executor("processes", n_processes=int(match[1]))
    if match := re.fullmatch(r"ray(?::(\S+))?", text):
        return Executor("ray", address=match[1] or "")
    msg = (
        f"--executor: found {text!r}, expected 'local', 'processes:N' with N at least 1, 'ray', or 'ray:ADDRESS' with "
        "the address of a Ray cluster such as ray:auto or ray:10.0.0.1:6379"
    )
    raise ConfigError(msg)


def run_all(
    experiments: Sequence[Experiment],
    output: Path,
    *,
    options: RunOptions,
    executor: Executor = LOCAL,
    run: Run = run_experiment,
) -> Generator[Outcome]:
    """Carry out experiments and yield each with its record as it ends.

    An experiment that another sweep is working on is put off until the others are done, then waited for. A run whose
    worker dies is repeated; one that keeps killing workers is recorded as failed.

    Args:
        experiments: What to run.
        output: Folder of records.
        options: How runs are carried out.
        executor: Where they are.
        run: Carries out one experiment.

    Raises:
        DiskFullError: There is no room for a record; what is at work elsewhere is ended.
        ConfigError: Ray is asked for and not installed, not reachable or too small.
    """
    if executor.kind == "local":
        yield from _run_here(experiments, output, options, run)
    elif experiments:
        yield from run_on_workers(
            experiments, output, options=options, run=run, workers=_workers(executor, experiments, output)
        )


def _workers(executor: Executor, experiments: Sequence[Experiment], output: Path) -> Workers:
    if executor.kind == "processes":
        from benchmark.execute.workers_processes import Processes

        return Processes(min(executor.n_processes, len(experiments)))
    from benchmark.execute.workers_ray import RayWorkers

    return RayWorkers(executor.address, output=output, experiments=experiments)


def _run_here(experiments: Sequence[Experiment], output: Path, options: RunOptions, run: Run) -> Generator[Outcome]:
    busy = []
    for experiment in experiments:
        record = run(experiment, output, options=options)
        if record is None:
            busy.append(experiment)
        else:
            yield experiment, record
    for experiment in busy:
        while (record := run(experiment, output, options=options)) is None:
            time.sleep(POLL)
        yield experiment, record
