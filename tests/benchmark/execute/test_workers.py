from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import pytest

from benchmark.execute.executor import Executor, run_all
from benchmark.records.archive import read_records
from benchmark.records.store import Store
from tests.benchmark.fabricated_runs import QUIET, carry_out, make_experiment

QUICKSTART = Path(__file__).resolve().parents[3] / "configs" / "benchmark" / "quickstart.yaml"
N_RUNS = 8
N_MADE_UP = 20


@pytest.mark.slow
def test_the_quickstart_survives_ten_kills_at_random_moments(tmp_path):
    """The small sibling is test_runner.py::test_a_killed_sweep_resumes_without_rerunning_what_was_finished."""
    command = [sys.executable, "-m", "benchmark", "run", "--config", str(QUICKSTART), "--output", str(tmp_path)]
    store, rng, seen = Store(tmp_path), random.Random(0), {}
    for _ in range(10):
        sweep = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        time.sleep(rng.uniform(5, 60))
        os.killpg(sweep.pid, signal.SIGKILL)
        sweep.wait()
        now = {record.key: record.started for record in read_records(store.output)}
        assert seen.items() <= now.items(), "a finished run was lost or run again"
        seen = now
    _finish(command, store, N_RUNS, seen)


def _sweep(output: Path) -> None:
    experiments = [make_experiment(seed, "takes a moment") for seed in range(N_MADE_UP)]
    list(run_all(experiments, output, options=QUIET, executor=Executor("processes", n_processes=2), run=carry_out))


def _start_sweep(output: Path) -> BaseProcess:
    sweep = get_context("spawn").Process(target=_sweep, args=(output,))
    sweep.start()
    return sweep


def test_a_sweep_of_two_workers_survives_a_kill_at_a_random_moment(tmp_path):
    store, rng = Store(tmp_path), random.Random(0)
    sweep = _start_sweep(tmp_path)
    while not list(tmp_path.glob("starts/*")):
        assert sweep.is_alive(), "nothing was left to be killed in"
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.4))
    family = [psutil.Process(sweep.pid)]
    family += family[0].children(recursive=True)
    for process in rng.sample(family, rng.randint(1, len(family))):
        _kill(process)
    _kill(family[0])
    sweep.join()
    assert psutil.wait_procs(family, timeout=60)[1] == [], "a worker outlived its sweep"
    seen = {record.folder: record for record in read_records(store.output)}
    last = _start_sweep(tmp_path)
    last.join()
    assert last.exitcode == 0
    assert seen.items() <= {record.folder: record for record in read_records(store.output)}.items()
    assert sorted(record.experiment.seed for record in read_records(store.output)) == list(range(N_MADE_UP))
    assert len(list(tmp_path.rglob("record.json"))) == len(list(tmp_path.rglob("scores.csv"))) == N_MADE_UP


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()


@pytest.mark.slow
def test_a_real_sweep_of_two_workers_survives_ten_kills_at_random_moments(tiny_config, tmp_path):
    output, n_runs = tmp_path / "out", 24
    command = [sys.executable, "-m", "benchmark", "run", "--config", str(tiny_config(n_runs)), "--output", str(output)]
    command += ["--executor", "processes:2"]
    store, rng, seen = Store(output), random.Random(1), {}
    for attempt in range(10):
        sweep = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        while attempt > 1 and not _at_work(output, of=sweep.pid):  # the first two die while they start
            assert sweep.poll() is None, "nothing was left to be killed in"
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 3))
        family = psutil.Process(sweep.pid).children(recursive=True)
        if rng.random() < 0.5:
            os.killpg(sweep.pid, signal.SIGKILL)
        else:  # the sweep alone: its workers must notice
            sweep.kill()
        sweep.wait()
        assert psutil.wait_procs(family, timeout=60)[1] == [], "a worker outlived its sweep"
        now = {record.key: record.started for record in read_records(store.output)}
        assert seen.items() <= now.items(), "a finished run was lost or run again"
        seen = now
    _finish(command, store, n_runs, seen)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="the extra 'ray' is not installed")
def test_a_real_sweep_on_ray_repeats_the_run_of_a_killed_worker(tiny_config, tmp_path):
    """The small sibling is test_executor.py::test_a_killed_worker_has_its_run_repeated_and_one_that_keeps_…."""
    output, n_runs = tmp_path / "out", 4
    config = tiny_config(n_runs, resources={"cpus": 1})
    command = [sys.executable, "-m", "benchmark", "run", "--config", str(config), "--output", str(output)]
    command += ["--executor", "ray"]
    sweep = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not (at_work := _at_work(output, of=sweep.pid)):
        assert sweep.poll() is None, sweep.stderr.read()
        time.sleep(0.02)
    os.kill(at_work[0], signal.SIGKILL)
    _, errors = sweep.communicate()
    assert sweep.returncode == 0, errors
    assert errors.count("the run is repeated") == 1
    _finish(command, Store(output), n_runs, {})


def _at_work(output: Path, *, of: int) -> list[int]:
    """Processes of a sweep that are in the middle of a run."""
    family = {process.pid for process in psutil.Process(of).children(recursive=True)}
    return [pid for path in output.glob(".work/*-*/") if (pid := int(path.name.split("-")[0])) in family]


def _finish(command: list[str], store: Store, n_runs: int, seen: dict[str, str]) -> None:
    """The same command ends well, and leaves one whole record for each run, those that were seen before untouched."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    records = list(read_records(store.output))
    assert seen.items() <= {record.key: record.started for record in records}.items()
    assert len({record.experiment_id for record in records}) == len(records) == n_runs
    assert all(record.status == "finished" for record in records)
    assert all((folder / "scores.csv").stat().st_size > 0 for folder, _ in records)
    assert len(list(store.output.rglob("record.json"))) == n_runs
