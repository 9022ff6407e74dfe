"""Workers that are processes of this machine."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from benchmark.execute.workers import Answer, Task, WorkerDiedError
from extensions.runtime.quiet import set_up_output

LIVENESS = 1.0  # s between looks at the processes: what a dead one's own children hold open hides its end
GRACE = 3.0  # s that a process has to end by itself


@dataclass(eq=False)
class _Worker:
    process: SpawnProcess
    connection: Connection
    task: Task | None = None
    fit: str = ""  # of its last task


class Processes:
    """At most `n` processes that share the cores of this machine; one that dies is replaced when there is work.

    Processes are spawned, not forked: torch's threads do not survive a fork.

    Args:
        n: Runs at a time.
    """

    n_attempts = 2
    keeps_fits = True

    def __init__(self, n: int) -> None:
        self._n = n
        self._n_threads = max((os.cpu_count() or 1) // n, 1)
        self._workers: list[_Worker] = []

    def has_room(self) -> bool:
        """Whether another task can be taken now."""
        return sum(worker.task is not None for worker in self._workers) < self._n

    def start(self, task: Task) -> None:
        """Give a task to an idle process, or to a new one."""
        task.options = replace(task.options, n_threads=self._n_threads)
        idle = [worker for worker in self._workers if worker.task is None]
        for worker in sorted(idle, key=lambda worker: worker.fit != task.fit):
            with suppress(OSError):  # it died while idle
                worker.connection.send(task)
                worker.task, worker.fit = task, task.fit
                return
            self._drop(worker)
        worker = self._spawn()
        with suppress(OSError):  # it died before it could read: `wait` says so
            worker.connection.send(task)
        worker.task, worker.fit = task, task.fit

    def wait(self) -> list[tuple[Task, Answer]]:
        """Block until a process has answered or died."""
        while True:
            ready = set(wait([worker.connection for worker in self._workers if worker.task], timeout=LIVENESS))
            ended = []
            for worker in list(self._workers):
                task = worker.task
                if task is not None and (worker.connection in ready or not worker.process.is_alive()):
                    worker.task = None
                    ended.append((task, self._receive(worker)))
            if ended:
                return ended

    def close(self) -> None:
        """End all processes: the idle ones by closing their line, those at work by force."""
        for worker in self._workers:
            worker.connection.close()
            if worker.task is not None:
                worker.process.terminate()
        deadline = time.monotonic() + GRACE
        for worker in self._workers:
            worker.process.join(max(deadline - time.monotonic(), 0))
            if worker.process.is_alive():  # Lightning answers SIGTERM only between batches
                worker.process.kill()
                worker.process.join()
        self._workers.clear()

    def _spawn(self) -> _Worker:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,))
        process.start()
        theirs.close()  # else its end would never be seen
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _receive(self, worker: _Worker) -> Answer:
        with suppress(EOFError, OSError):
            if worker.connection.poll():
                return worker.connection.recv()
        return self._drop(worker)

    def _drop(self, worker: _Worker) -> WorkerDiedError:
        worker.process.kill()  # nothing, unless it closed its line and lives on
        worker.process.join()
        worker.connection.close()
        self._workers.remove(worker)
        code = worker.process.exitcode or 0
        with suppress(ValueError):
            return WorkerDiedError(f"killed by {signal.Signals(-code).name}")
        return WorkerDiedError(f"exit code {code}")


def _serve(connection: Connection) -> None:
    """What a worker process does: answer one task after the other until the line is closed."""
    set_up_output()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the sweep, which ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, BrokenPipeError):
        while True:
            connection.send(connection.recv().answer())


def _end_with_parent() -> None:
    """Leave when the sweep was killed: nobody would take this process's results or ever end it."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
