from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmark.store import Store

QUICKSTART = Path(__file__).resolve().parents[2] / "configs" / "benchmark" / "quickstart.yaml"
N_RUNS = 8


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
        now = {record["key"]: record["started"] for _, record in store.records()}
        assert seen.items() <= now.items(), "a finished run was lost or run again"
        seen = now
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    records = list(store.records())
    assert seen.items() <= {record["key"]: record["started"] for _, record in records}.items()
    assert len({record["experiment_id"] for _, record in records}) == len(records) == N_RUNS
    assert all(record["status"] == "finished" for _, record in records)
    assert all((folder / "scores.csv").stat().st_size > 0 for folder, _ in records)
    assert len(list(tmp_path.rglob("record.json"))) == N_RUNS
