"""Where runs are carried out: in this process, or in several."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

from benchmark.experiment import Experiment
from benchmark.runner import RunOptions, run_experiment
from extensions.configuration import ConfigError

Outcome = tuple[Experiment, dict[str, Any] | None]


def parse_executor(text: str) -> int:
    """Number of processes an `--executor` value asks for; 1 is this process.

    Raises:
        ConfigError: The value is neither `local` nor `processes:N`.
    """
    if text == "local":
        return 1
    match = re.fullmatch(r"processes:(\d+)", text)
    if match and int(match[1]) > 0:
        return int(match[1])
    msg = f"--executor: found {text!r}, expected 'local' or 'processes:N' with N at least 1"
    raise ConfigError(msg)


def run_all(
    experiments: Sequence[Experiment], output: Path, *, options: RunOptions, processes: int = 1
) -> Iterator[Outcome]:
    """Carry out experiments and yield each with its record as it ends.

    An experiment that another sweep is working on is put off until the others are done, then waited for.
    """
    run = _run_here if processes == 1 else _run_in_processes
    busy: list[Experiment] = []
    for experiment, record in run(experiments, output, options, processes):
        if record is None:
            busy.append(experiment)
        else:
            yield experiment, record
    for experiment in busy:
        yield experiment, _wait_for(experiment, output, options)


def _run_here(experiments: Sequence[Experiment], output: Path, options: RunOptions, _: int) -> Iterator[Outcome]:
    for experiment in experiments:
        yield experiment, run_experiment(experiment, output, options=options)


def _run_in_processes(
    experiments: Sequence[Experiment], output: Path, options: RunOptions, processes: int
) -> Iterator[Outcome]:
    threads = max((os.cpu_count() or 1) // processes, 1)
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(threads,)
    ) as pool:
        pending = {pool.submit(run_experiment, e, output, options=options): e for e in experiments}
        try:
            while pending:
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield pending.pop(future), future.result()
        except BrokenProcessPool as error:
            msg = (
                "a process that carried out a run was killed, most often for lack of memory; finished runs are kept, "
                "the same command goes on where it stopped, best with fewer processes"
            )
            raise RuntimeError(msg) from error
        except BaseException:
            processes_of_pool = list((pool._processes or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes_of_pool:
                process.terminate()  # else leaving this block would wait until their runs are done
            raise


def _start_worker(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Leave when the sweep was killed: nobody would take this process's results or ever end it."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _wait_for(experiment: Experiment, output: Path, options: RunOptions) -> dict[str, Any]:
    """Wait until the other sweep has finished, or run what it left undone."""
    import time

    while (record := run_experiment(experiment, output, options=options)) is None:
        time.sleep(1.0)
    return record
