from __future__ import annotations

import builtins
import dataclasses
import os
import signal
import threading
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from benchmark.execute.executor import LOCAL, Executor, parse_executor, run_all
from benchmark.execute.workers import Task
from benchmark.execute.workers_processes import _end_with_parent
from benchmark.execute.workers_ray import RayWorkers, _Place, _work, reserve
from benchmark.plan.experiment import Experiment
from benchmark.plan.validation import check_one_device, check_resources
from benchmark.records.archive import read_records
from benchmark.records.store import Store
from extensions.configuration import ConfigError
from extensions.runtime.disk import DiskFullError
from tests.benchmark.fabricated import as_record, make_record
from tests.benchmark.fabricated_runs import QUIET, carry_out, make_experiment, starts, wait_for_start

TWO = Executor("processes", n_processes=2)
without_ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra 'ray' is not installed")


def _parent(pid_file: Path) -> None:
    child = get_context("spawn").Process(target=_end_with_parent)
    child.start()
    pid_file.write_text(str(child.pid))
    child.join()


def test_a_worker_ends_when_the_sweep_that_started_it_is_killed(tmp_path):
    parent = get_context("spawn").Process(target=_parent, args=(tmp_path / "pid",))
    parent.start()
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert parent.is_alive()
    worker = psutil.Process(int((tmp_path / "pid").read_text()))
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    worker.wait(timeout=60)


def run(output: Path, experiments: list[Experiment], executor: Executor) -> dict[int, dict]:
    outcomes = list(run_all(experiments, output, options=QUIET, executor=executor, run=carry_out))
    assert sorted(e.seed for e, _ in outcomes) == sorted(e.seed for e in experiments), "a run was lost or doubled"
    return {experiment.seed: record for experiment, record in outcomes}


@pytest.mark.parametrize(("executor", "n_attempts"), [
    pytest.param(TWO, 2, id="processes"),
    pytest.param(Executor("ray"), 3, id="ray", marks=without_ray),
])  # fmt: skip
def test_a_killed_worker_has_its_run_repeated_and_one_that_keeps_dying_fails_alone(tmp_path, executor, n_attempts):
    experiments = [
        make_experiment(0, "hangs once", resources={"cpus": 1}),
        make_experiment(1, "kills its worker", resources={"cpus": 1}),
        *(make_experiment(seed, resources={"cpus": 1}) for seed in range(2, 6)),
    ]
    killer = threading.Thread(target=lambda: os.kill(wait_for_start(tmp_path, 0), signal.SIGKILL))
    killer.start()
    records = run(tmp_path, experiments, executor)
    killer.join()
    assert {seed: record.status for seed, record in records.items()} == {1: "failed"} | dict.fromkeys(
        (0, 2, 3, 4, 5), "finished"
    )
    assert f"died, {n_attempts} times of {n_attempts}" in records[1].error.message
    assert "--overwrite failed" in records[1].error.message
    assert [len(starts(tmp_path, seed)) for seed in range(6)] == [2, n_attempts + 1, 1, 1, 1, 1]
    assert sorted(r.key for r in read_records(tmp_path)) == sorted(r.key for r in records.values())
    assert len(list(tmp_path.rglob("record.json"))) == len(experiments)
    assert os.getpid() not in {pid for seed in range(6) for pid in starts(tmp_path, seed)}
    assert not [c for c in psutil.Process().children(recursive=True) if "_serve" in " ".join(c.cmdline())]
    again = run(tmp_path, experiments, LOCAL)
    assert again == records


def _tell_data_root(experiment, output, *, options, error=None) -> dict:
    return {"status": "finished", "data_root": options.data_root, "environment": os.environ.get("WORKBENCH_DATA")}


def test_workers_are_told_where_relative_data_roots_start(tmp_path):
    options = dataclasses.replace(QUIET, data_root=tmp_path / "data")
    ((_, record),) = run_all([make_experiment(0)], tmp_path, options=options, executor=TWO, run=_tell_data_root)
    assert record["data_root"] == tmp_path / "data"
    assert record["environment"] == os.environ.get("WORKBENCH_DATA")


def _die(*args, **kwargs) -> None:
    os._exit(9)


def test_a_run_whose_failure_cannot_even_be_recorded_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "benchmark.execute.workers.failed_record",
        lambda _, error: as_record(make_record(status="failed", error={"message": str(error)})),
    )
    ((_, record),) = run_all([make_experiment(0)], tmp_path, options=QUIET, executor=TWO, run=_die)
    assert record.status == "failed"
    assert "exit code 9" in record.error.message


@pytest.mark.parametrize("executor", [LOCAL, TWO])
def test_a_run_at_work_in_another_sweep_is_waited_for(tmp_path, executor):
    experiments = [make_experiment(0), make_experiment(1)]
    with Store(tmp_path).lock(f"{0:016x}"):
        outcomes = run_all(experiments, tmp_path, options=QUIET, executor=executor, run=carry_out)
        assert next(outcomes)[0].seed == 1
    assert next(outcomes)[0].seed == 0
    assert list(outcomes) == []


@pytest.mark.parametrize("executor", [LOCAL, TWO])
def test_a_full_disk_in_a_run_ends_the_sweep_and_its_workers(tmp_path, executor):
    experiments = [make_experiment(0, "finds the disk full"), make_experiment(1)]
    with pytest.raises(DiskFullError, match="no room"):
        run(tmp_path, experiments, executor)
    assert not [c for c in psutil.Process().children() if "spawn_main" in " ".join(c.cmdline())]


def _sweep(output: Path, executor: Executor) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background of a shell
    try:
        run(output, [make_experiment(seed, "hangs", resources={"cpus": 1}) for seed in range(3)], executor)
    except KeyboardInterrupt:
        os._exit(130)


@pytest.mark.parametrize("executor", [
    pytest.param(TWO, id="processes"),
    pytest.param(Executor("ray"), id="ray", marks=[without_ray, pytest.mark.slow]),
])  # fmt: skip
def test_ctrl_c_ends_all_workers(tmp_path, executor):
    sweep = get_context("spawn").Process(target=_sweep, args=(tmp_path, executor))
    sweep.start()
    workers = [psutil.Process(wait_for_start(tmp_path, seed)) for seed in (0, 1)]
    os.kill(sweep.pid, signal.SIGINT)
    sweep.join()
    assert sweep.exitcode == 130
    assert psutil.wait_procs(workers, timeout=30)[1] == []


@pytest.mark.parametrize("text", ["processes:0", "processes", "ray:", "rays", "2"])
def test_an_unknown_executor_is_refused(text):
    with pytest.raises(ConfigError, match="processes:N"):
        parse_executor(text)


def test_executors_are_known_by_their_names():
    assert [parse_executor(text) for text in ("local", "processes:3", "ray", "ray:auto", "ray:ray://h:10001")] == [
        LOCAL, Executor("processes", n_processes=3), Executor("ray"), Executor("ray", address="auto"),
        Executor("ray", address="ray://h:10001"),
    ]  # fmt: skip


def test_without_ray_one_sentence_says_how_to_install_it(tmp_path, monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "ray":
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigError, match=r"pip install -e '\.\[ray\]'"):
        RayWorkers("", output=tmp_path, experiments=[])


@without_ray
def test_a_cluster_that_is_not_there_is_one_sentence_at_once(tmp_path):
    with pytest.raises(ConfigError, match="nothing answers there"):
        RayWorkers("127.0.0.1:1", output=tmp_path, experiments=[])


def fake_ray(**answers) -> SimpleNamespace:
    """A Ray of one machine with two CPUs that gives the answer it is told."""
    errors = SimpleNamespace(**dict.fromkeys(("WorkerCrashedError", "NodeDiedError", "OutOfMemoryError"), KeyError))
    errors.ObjectLostError = errors.RayTaskError = errors.RayError = KeyError
    remote = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda *_, **__: "reference"))
    return SimpleNamespace(
        init=lambda **_: None, shutdown=lambda: None, remote=lambda **_: lambda _: remote, exceptions=errors,
        nodes=lambda: [{"Alive": True, "Resources": {"CPU": 2.0}}], wait=lambda found, **_: (found, []), **answers,
    )  # fmt: skip


def test_a_run_that_this_machine_cannot_hold_is_refused_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmark.execute.workers_ray.import_ray", lambda **_: fake_ray())
    experiments = [make_experiment(0), make_experiment(1, resources={"gpus": 1})]
    with pytest.raises(ConfigError, match="asks for 1 CPUs and 1 GPUs, this machine has 2 and 0"):
        RayWorkers("", output=tmp_path, experiments=experiments)


def test_a_record_written_into_another_folder_of_the_same_name_is_one_sentence(tmp_path, monkeypatch):
    elsewhere = as_record(make_record() | {"key": "a" * 16})
    monkeypatch.setattr("benchmark.execute.workers_ray.import_ray", lambda **_: fake_ray(get=lambda _: elsewhere))
    monkeypatch.setattr("benchmark.execute.workers_ray.PATIENCE", 0.1)
    with pytest.raises(RuntimeError, match="folder that all machines share"):
        run(tmp_path, [make_experiment(0)], Executor("ray"))


def test_a_worker_that_does_not_see_the_output_folder_says_so_before_it_runs(tmp_path):
    task = Task(make_experiment(0), tmp_path, QUIET, carry_out)
    answer = _work(task, _Place(tmp_path / "token", str(Path.cwd()), {}), hide_gpus=False)
    assert "does not see this folder" in str(answer)
    assert list(tmp_path.iterdir()) == []


CPU, GPU = {"CPU": 16.0}, {"CPU": 8.0, "GPU": 2.0}


@pytest.mark.parametrize(
    ("machines", "n_experiments", "asked", "accelerator", "reserved"),
    [
        ([CPU], 100, {}, "auto", (1, 0)),
        ([CPU], 4, {}, "auto", (4, 0)),
        ([CPU, CPU], 1, {}, "auto", (16, 0)),
        ([CPU, GPU], 6, {}, "auto", (4, 1)),
        ([CPU, GPU], 6, {}, "cpu", (4, 0)),
        ([CPU, GPU], 6, {"gpus": 0.5}, "auto", (4, 0.5)),
        ([CPU], 4, {"cpus": 2}, "auto", (2, 0)),
        ([], 4, {}, "auto", (1, 0)),
    ],
)
def test_a_run_reserves_what_it_asks_for_or_a_fair_share(machines, n_experiments, asked, accelerator, reserved):
    experiment = make_experiment(0, trainer={"accelerator": accelerator}, resources=asked)
    assert reserve(experiment, machines, n_experiments) == reserved


@pytest.mark.parametrize(
    "value", [{"cpu": 1}, {"cpus": 0}, {"cpus": 1.5}, {"gpus": -1}, {"gpus": 1.5}, {"cpus": True}, 3]
)
def test_resources_that_cannot_be_reserved_are_refused(value):
    with pytest.raises(ConfigError, match="resources"):
        check_resources(value)


@pytest.mark.parametrize("trainer", [{"devices": 2}, {"devices": "auto"}, {"devices": [0, 1]}, {"num_nodes": 2}])
def test_a_run_over_several_devices_is_sent_to_the_command_that_can_do_it(trainer):
    check_one_device({"devices": [1], "max_epochs": 3})
    with pytest.raises(ConfigError, match="python -m extensions train"):
        check_one_device(trainer)
