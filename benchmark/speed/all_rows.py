"""Measure the rows one after the other; a row that was measured already is found again and skipped."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmark.one_run.machine import environment
from benchmark.records.run_files import write_json
from benchmark.speed import coreset, fit_predict, gaussians, growth, pixel_metrics, training, whole_sweep
from benchmark.speed.bench import Bench
from benchmark.speed.images import bottle_source, packaged_source
from benchmark.speed.settings import Settings, asked_settings
from benchmark.speed.speed_table import write_results
from benchmark.speed.timing import COLUMNS, Measurement, timed
from extensions.runtime.progress import finished_step, progress_bar

if TYPE_CHECKING:
    from extensions.data.datamodules.datamodule import WorkbenchDataModule

logger = logging.getLogger(__name__)

ROWS: dict[str, Callable[[Bench], Measurement]] = {
    "patchcore_fit": fit_predict.patchcore_fit,
    "patchcore_fit_large": fit_predict.large_patchcore_fit,
    "coreset": coreset.coreset,
    "coreset_large": coreset.large_coreset,
    "padim_fit_test": fit_predict.padim_fit_test,
    "patchcore_prediction": fit_predict.patchcore_prediction,
    "padim_prediction": fit_predict.padim_prediction,
    "patchcore_prediction_large": fit_predict.large_patchcore_prediction,
    "padim_prediction_large": fit_predict.large_padim_prediction,
    **training.rows(),
    "registration_gaussians": gaussians.registration_gaussians,
    "grid": whole_sweep.grid,
    "shared_work": whole_sweep.shared_work,
    "metrics": pixel_metrics.metrics,
    "growth_padim_fit": growth.padim_fit_growth,
    "growth_patchcore_fit": growth.patchcore_fit_growth,
    "growth_coreset": growth.coreset_growth,
    "growth_prediction": growth.prediction_growth,
    "growth_metrics": growth.metrics_growth,
}
SOURCES = ("benchmark", "extensions")


def run_speed(
    output: Path,
    *,
    rows: Sequence[str] = (),
    data_root: Path | None = None,
    settings: Settings | None = None,
    source: WorkbenchDataModule | None = None,
) -> pd.DataFrame:
    """Measure rows and write `rows/<row>.json`, `speed.json`, `speed.csv` and `speed.png` into a folder.

    A row is measured again when its settings, its images or our code changed, or when it ended with an error. An
    interrupt loses the row at work only. Rows that are not asked for stay in the tables as they were measured, by an
    older commit, too, as long as settings, images, machine and versions are the same; the column `commit` tells.

    Args:
        output: Folder for the results.
        rows: Names out of `ROWS`; empty for all. The tables hold also what was measured before.
        data_root: Folder that holds mvtec/bottle, measured with ResNet-18; None for packaged images.
        settings: What is measured; None for what SPEED in the environment asks for.
        source: The images, instead of both.

    Returns:
        A row of `measurement.COLUMNS` for each that was measured, in the order of `ROWS`. A row whose sides disagree,
        or that failed, has an `error`.

    Raises:
        ValueError: An unknown row, or SPEED says something unknown.
        FileNotFoundError: No bottle below the data root.
    """
    unknown = [name for name in rows if name not in ROWS]
    if unknown:
        msg = f"--rows: there is no row {unknown[0]!r}; expected some of {', '.join(ROWS)}"
        raise ValueError(msg)
    settings = settings or asked_settings()
    if source is None and data_root is not None:
        settings, source = replace(settings, backbone="resnet18"), bottle_source(data_root)
    source = packaged_source() if source is None else source
    output.mkdir(parents=True, exist_ok=True)
    keys = {name: row_key(name, settings, source) for name in ROWS}
    wanted = [name for name in ROWS if name in rows or not rows]
    code = code_version()
    todo = [name for name in wanted if not is_measured(output, name, keys[name], code)]
    try:
        with tempfile.TemporaryDirectory(prefix="workbench-speed-") as scratch, _bar(todo) as advance:
            bench = Bench(settings, source, Path(scratch))
            for name in todo:
                advance(name)
                write_json(_path(output, name), measure(name, bench) | {"key": keys[name], "code": code})
    finally:
        records = [_read(output, name) for name in ROWS if _read(output, name).get("key") == keys[name]]
        if records:
            write_results(output, records, asdict(settings))
    return pd.DataFrame(records, columns=list(COLUMNS))


def measure(name: str, bench: Bench) -> dict[str, Any]:
    """The record of one row; a failure is a record with an error."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        measurement, seconds = timed(lambda: ROWS[name](bench))
        record = measurement.record() | {"seconds": seconds}
    except Exception as error:
        logger.debug("row failed", exc_info=True)
        message = " ".join(str(error).split()) or type(error).__name__
        record = dict.fromkeys(COLUMNS) | {"work": name, "error": f"{type(error).__name__}: {message}"}
        record["traceback"] = "".join(traceback.format_exception(error))
    machine = dict(environment())
    return record | {
        "row": name,
        "commit": machine["commit"],
        "started": started,
        "limits": bench.measured_limits(),
        "environment": machine,
    }


def is_measured(output: Path, name: str, key: str, code: str) -> bool:
    """Whether a row was measured with this key by this code, and without an error."""
    record = _read(output, name)
    return record.get("key") == key and record.get("code") == code and record.get("error") is None


def row_key(name: str, settings: Settings, source: WorkbenchDataModule) -> str:
    """What a row was measured with beside our code: settings, names and sizes of its images, machine and versions."""
    source.setup()
    files = [
        (source.relative(path), Path(path).stat().st_size)
        for data in (source.train_data, source.test_data)
        for path in sorted(data.samples["image_path"])
    ]
    machine = {name: fact for name, fact in environment().items() if name not in ("commit", "platform")}
    text = json.dumps([name, asdict(settings), files, machine], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_version() -> str:
    """Hash of all our modules, by content."""
    root = Path(__file__).resolve().parents[2]
    found = hashlib.sha256()
    for path in sorted(path for folder in SOURCES for path in (root / folder).rglob("*.py")):
        found.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:12]


def _path(output: Path, name: str) -> Path:
    return output / "rows" / f"{name}.json"


def _read(output: Path, name: str) -> dict[str, Any]:
    """The record of a row, or nothing when there is none that can be read."""
    try:
        record = json.loads(_path(output, name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


@contextmanager
def _bar(todo: Sequence[str]) -> Iterator[Callable[[str], None]]:
    """A bar over the rows whose clock goes on while a row takes its time; yields what names the next row."""
    done = threading.Event()
    with progress_bar(title="speed", total=len(todo), unit="row", hidden=not todo, leave=True) as bar:
        begun: list[str] = []

        def advance(name: str) -> None:
            if begun:
                bar.update()
                finished_step(f"{begun[-1]} measured")
            begun.append(name)
            bar.set_description(name)

        def tick() -> None:
            while sys.stderr.isatty() and not done.wait(1):
                bar.refresh()

        ticking = threading.Thread(target=tick, daemon=True)
        ticking.start()
        try:
            yield advance
            bar.update(1 if begun else 0)
        finally:
            done.set()
            ticking.join()
