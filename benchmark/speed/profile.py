"""Where the time of a sweep goes: its command run in a process of its own, by stage."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import pandas as pd

from benchmark.speed.fit_predict import cold_cache
from benchmark.speed.whole_sweep import run_module

START, REST = "starting Python and importing the command", "everything else"


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
        command = ["benchmark.speed.profile", str(folder / "stages.json"), str(time.time())]
        command += ["run", "--config", str(config.resolve()), "--output", str(folder / "output")]
        command += ["--data-root", str(data_root.resolve())] if data_root else []
        run_module(command, folder, environment)
        found = json.loads((folder / "stages.json").read_text(encoding="utf-8"))
    frame = pd.DataFrame(found, columns=["stage", "seconds", "cpu_seconds", "n"])
    frame.insert(2, "share", 100 * frame["seconds"] / frame["seconds"].sum())
    total = {"stage": "all", "seconds": frame["seconds"].sum(), "share": 100.0}
    total |= {"cpu_seconds": frame["cpu_seconds"].sum(), "n": 1}
    frame = pd.concat([frame.sort_values("seconds", ascending=False), pd.DataFrame([total])], ignore_index=True)
    path = output / f"profile_{config.stem}.csv"
    frame.round(2).to_csv(path, index=False)
    return path, frame


def _profiled(path: Path, started: float, arguments: list[str]) -> int:
    """Run the command in this process and write its stages."""
    from benchmark.__main__ import main
    from extensions.runtime.stages import stages

    before = (time.time() - started, time.process_time())
    stages.forget()
    with stages.stage(REST):
        code = main(arguments)
        stages_of = stages.read()
    rows = [{"stage": START, "seconds": before[0], "cpu_seconds": before[1], "n": 1}]
    rows += [
        {"stage": name, "seconds": one.seconds, "cpu_seconds": one.cpu_seconds, "n": one.n}
        for name, one in stages_of.items()
    ]
    path.write_text(json.dumps(rows), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(_profiled(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
