"""Where the time of a sweep goes: its command run in a process of its own, by stage."""

from __future__ import annotations

import json
import os
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import pandas as pd

from benchmark.speed.fit_predict import cold_cache
from benchmark.speed.whole_sweep import run_module

REST = "everything else"


def profile_sweep(
    config: Path, output: Path, *, data_root: Path | None = None, warm: bool = False
) -> tuple[Path, pd.DataFrame]:
    """Run the sweep of a configuration from its command to its tables and tell what each stage took.

    Args:
        config: As of `benchmark run`.
        output: Folder that gets `profile_<name of the config>.csv`; records of the sweep are not kept.
        data_root: Where relative folders of data start.
        warm: Take images, features and coresets from the cache; without it the sweep starts with an empty one.

    Returns:
        The file and its rows: stage, seconds (wall), share (of the whole, percent), cpu_seconds (all threads; 0 of
        processes that the sweep starts), n (how often it was entered). A stage lacks the seconds of those inside it.

    Raises:
        RuntimeError: The sweep failed, or a run of it.
    """
    output.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="workbench-profile-") as scratch,
        nullcontext(dict(os.environ)) if warm else cold_cache() as environment,
    ):
        folder = Path(scratch)
        stages, started = folder / "stages.json", time.time()
        command = ["benchmark", "run", "--config", str(config.resolve()), "--output", str(folder / "output")]
        command += ["--stages", str(stages)]
        command += ["--data-root", str(data_root.resolve())] if data_root else []
        run_module(command, folder, environment)
        took = time.time() - started
        told = json.loads(stages.read_text(encoding="utf-8"))
    rest = max(0.0, took - sum(one["seconds"] for one in told))
    told.append({"stage": REST, "seconds": rest, "cpu_seconds": 0.0, "n": 1})
    frame = pd.DataFrame(told, columns=["stage", "seconds", "cpu_seconds", "n"])
    frame.insert(2, "share", 100 * frame["seconds"] / frame["seconds"].sum())
    total = {"stage": "all", "seconds": frame["seconds"].sum(), "share": 100.0}
    total |= {"cpu_seconds": frame["cpu_seconds"].sum(), "n": 1}
    frame = pd.concat([frame.sort_values("seconds", ascending=False), pd.DataFrame([total])], ignore_index=True)
    path = output / f"profile_{config.stem}.csv"
    frame.round(2).to_csv(path, index=False)
    return path, frame
