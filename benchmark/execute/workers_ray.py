"""Workers that Ray starts, on this machine or on those of a cluster."""

from __future__ import annotations

import os
import platform
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmark.execute.workers import Answer, Task, WorkerDiedError
from benchmark.one_run.machine import environment
from benchmark.plan.experiment import Experiment
from benchmark.records.record import Record
from benchmark.records.store import Store
from extensions.configuration import ConfigError
from extensions.runtime.disk import room_for

INSTALL = "pip install -e '.[ray]'"
START = "start one by `ray start --head` there, or leave the address out to use this machine alone"
OBJECT_STORE = 100 * 1024**2  # bytes: records are small, images and features never travel through Ray
LOOK = 1.0  # s between looks, so that Ctrl-C is heard
PATIENCE = 60.0  # s until a file written elsewhere must be seen here: NFS remembers for 30 s that there was none
REACH = 5.0  # s to reach a cluster


@dataclass(frozen=True)
class _Place:
    """What a worker on another machine needs to work as if it were here."""

    token: Path
    folder: str
    environment: dict[str, str]


class RayWorkers:
    """Ray's workers; each run reserves CPUs and GPUs, and waits in Ray's queue until a machine has them.

    Ray puts the runs where there is room. What a run reserves comes from the `resources` of its experiment
    (`cpus`, `gpus`); see `reserve` for the default. A run has as many threads as CPUs and sees no GPU but its own.

    Args:
        address: Of a cluster: `auto`, `HOST:PORT` or `ray://HOST:PORT`; empty starts Ray on this machine, on the
            loopback interface only, and ends it afterwards.
        output: Folder of records; all machines see it under this path.
        experiments: All that are to be run: the default shares the CPUs among them.

    Raises:
        ConfigError: Ray is not installed, the cluster is not there, or no machine has what a run asks for.
    """

    n_attempts = 3
    keeps_fits = False

    def __init__(self, address: str, *, output: Path, experiments: Sequence[Experiment]) -> None:
        self._ray = import_ray(local=not address)
        output = output.absolute()
        token = output / ".locks" / f"ray-{uuid4().hex}"
        known = {name: value for name, value in os.environ.items() if name.startswith("WORKBENCH_")}
        self._place = _Place(token, str(Path.cwd()), known)
        self._store = Store(output)
        self._n_experiments = len(experiments)
        self._tasks: dict[Any, Task] = {}
        _connect(self._ray, address)
        try:
            self._machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
            for experiment in experiments:
                self._reserve(experiment, may_grow=bool(address))
            with room_for(token):
                token.parent.mkdir(parents=True, exist_ok=True)
                token.touch()
        except BaseException:
            self._ray.shutdown()
            raise
        self._remote = self._ray.remote(max_retries=0, scheduling_strategy="SPREAD")(_work)

    def has_room(self) -> bool:
        """Ray has a queue of its own."""
        return True

    def start(self, task: Task) -> None:
        """Put a task into Ray's queue."""
        cpus, gpus = self._reserve(task.experiment)
        task.output, task.options = self._store.output, replace(task.options, n_threads=int(cpus))
        call = self._remote.options(num_cpus=cpus, num_gpus=gpus)
        self._tasks[call.remote(task, self._place, hide_gpus=not gpus)] = task

    def wait(self) -> list[tuple[Task, Answer]]:
        """Block until a task has ended."""
        ready: list[Any] = []
        while not ready:
            ready, _ = self._ray.wait(list(self._tasks), num_returns=1, timeout=LOOK)
        return [(self._tasks.pop(reference), self._receive(reference)) for reference in ready]

    def close(self) -> None:
        """Leave the cluster, which ends the runs that are still at work; a Ray started here is ended."""
        self._tasks.clear()
        self._ray.shutdown()
        self._place.token.unlink(missing_ok=True)

    def _receive(self, reference: Any) -> Answer:
        errors = self._ray.exceptions
        died = (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError, errors.ObjectLostError)
        try:
            answer: Answer = self._ray.get(reference)
        except died as error:
            return WorkerDiedError(f"{type(error).__name__}: {str(error).strip().splitlines()[0].rstrip('.')}")
        except errors.RayTaskError as error:  # the task itself answers for all that a run can raise
            text = " ".join(str(error.cause).split()[-60:])
            return RuntimeError(
                f"Ray could not start a run ({type(error.cause).__name__}: {text}); every machine needs Python "
                f"{platform.python_version()} and this same checkout installed by {INSTALL}"
            )
        except errors.RayError as error:
            return RuntimeError(f"Ray: {' '.join(str(error).split())}")
        return self._seen_here(answer) if isinstance(answer, Record) else answer

    def _seen_here(self, record: Record) -> Answer:
        """The record, if its file has appeared: then the worker wrote into the folder that is read here."""
        folder = self._store.output / record.folder
        deadline = time.monotonic() + PATIENCE
        while self._store.read(record.folder) is None:
            if time.monotonic() > deadline:
                return RuntimeError(
                    f"{folder}: a Ray worker has written this record and it does not appear here within "
                    f"{PATIENCE:.0f} s; --output must be a folder that all machines share"
                )
            with suppress(OSError):
                list(folder.parent.iterdir())  # makes NFS look again
            time.sleep(0.2)
        return record

    def _reserve(self, experiment: Experiment, *, may_grow: bool = True) -> tuple[float, float]:
        cpus, gpus = reserve(experiment, self._machines, self._n_experiments)
        fits = any(machine.get("CPU", 0) >= cpus and machine.get("GPU", 0) >= gpus for machine in self._machines)
        if not fits and not may_grow:
            largest = max(machine.get("CPU", 0) for machine in self._machines)
            n_gpus = max(machine.get("GPU", 0) for machine in self._machines)
            msg = (
                f"resources: {experiment.model_name} asks for {cpus:g} CPUs and {gpus:g} GPUs, this machine has "
                f"{largest:g} and {n_gpus:g}; ask for less, or name a cluster by --executor ray:ADDRESS"
            )
            raise ConfigError(msg)
        return cpus, gpus


def reserve(experiment: Experiment, machines: Sequence[dict[str, float]], n_experiments: int) -> tuple[float, float]:
    """CPUs and GPUs that a run reserves: what its `resources` say.

    By default all CPUs divided by the number of experiments, at least 1 and at most those of the largest machine; one
    GPU where the cluster has any, unless the trainer's `accelerator` is `cpu`.

    Args:
        experiment: The run.
        machines: `CPU` and `GPU` of each machine.
        n_experiments: How many share them.
    """
    counts = [int(machine.get("CPU", 0)) for machine in machines]
    share = max(min(sum(counts) // max(n_experiments, 1), max(counts, default=1)), 1)
    any_gpu = any(machine.get("GPU", 0) >= 1 for machine in machines)
    gpu = int(any_gpu and experiment.trainer.get("accelerator") != "cpu")
    return experiment.resources.get("cpus", share), experiment.resources.get("gpus", gpu)


def import_ray(*, local: bool) -> Any:
    """The module, told not to report its use.

    Args:
        local: It will be started on this machine, where nobody else may reach it: Ray runs what it is sent.

    Raises:
        ConfigError: It is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # `_work` hides GPUs; Ray would warn about it
    if local:  # named after the systems it was made for: without it Ray listens on all network interfaces
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError as error:
        msg = f"--executor ray needs Ray, which is not installed ({error}); install it: {INSTALL}"
        raise ConfigError(msg) from error
    return ray


def _connect(ray: Any, address: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if not address:
        ray.init(address="local", include_dashboard=False, object_store_memory=OBJECT_STORE, **quiet)
        return
    if ":" in address:
        _check_reachable(address)
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        msg = f"--executor ray:{address}: no connection to a Ray cluster ({' '.join(str(error).split())}); {START}"
        raise ConfigError(msg) from error


def _check_reachable(address: str) -> None:
    """Ray itself would try for two minutes, then end the process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH).close()
    except (OSError, ValueError) as error:
        msg = f"--executor ray:{address}: nothing answers there ({error}); {START}"
        raise ConfigError(msg) from error


def _work(task: Task, place: _Place, *, hide_gpus: bool) -> Answer:
    """What a worker does, on whatever machine."""
    with suppress(OSError):  # a folder of the sweep's machine alone: nothing relative is needed then
        os.chdir(place.folder)
    os.environ.update(place.environment)
    if hide_gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if not place.token.exists():
        return RuntimeError(
            f"{task.output}: machine {socket.gethostname()} of the Ray cluster does not see this folder as the "
            "sweep does; --output must be a folder that all machines share under the same path"
        )
    environment.cache_clear()  # another run in this process may have had another number of threads
    return task.answer()
