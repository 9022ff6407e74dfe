from __future__ import annotations

import os
import signal
from multiprocessing import get_context
from pathlib import Path

import psutil
import pytest

from benchmark.executor import _end_with_parent, parse_executor, run_all
from benchmark.runner import RunOptions
from extensions.configuration import ConfigError


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


def _die(*args, **kwargs) -> None:
    os._exit(9)


def test_a_killed_worker_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmark.executor.run_experiment", _die)
    monkeypatch.setattr("benchmark.executor._start_worker", int)
    with pytest.raises(RuntimeError, match="lack of memory"):
        list(run_all([None], tmp_path, options=RunOptions(), processes=2))


@pytest.mark.parametrize("text", ["processes:0", "processes", "ray", "2"])
def test_an_unknown_executor_is_refused(text):
    with pytest.raises(ConfigError, match="processes:N"):
        parse_executor(text)
