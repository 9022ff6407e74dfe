"""Packed runs: many in four files that a repository can hold and a person can browse, read like a folder of runs."""

from __future__ import annotations

import io
import lzma
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from benchmark.records.record import Record
from benchmark.records.record_file import RecordError, parse
from benchmark.records.run_files import CALIBRATION, RESAMPLES, SCORES, run_folder, write_text
from benchmark.records.section import Section
from benchmark.records.sweep_plan import SweepPlan
from extensions.data.groups import GROUP

if TYPE_CHECKING:
    import pandas as pd

RECORDS = "records.jsonl"
"""A record a line, sorted by its folder; what `record.json` holds."""
PLANS = "plans.jsonl"
"""A plan a line, without the runs that a packed record answers."""
SCORE_TABLE = "scores.csv.xz"
"""The rows of every `scores.csv`, with the key of their run in front under `run`."""
CALIBRATION_TABLE = "calibration.csv.xz"
"""Likewise of every `calibration.csv`."""
RESAMPLE_TABLE = "resamples.csv.xz"
"""Likewise of every `resamples.csv`; a metric that a run has not is blank."""
SCORE_COLUMNS = ("image", "label", "kind", "score", "fold")
"""After them comes `GROUP` of runs whose data set names parts."""

_AGAIN = "restore the file from its repository, or run again with --overwrite all"

S = TypeVar("S", bound=Section)
SectionLines = tuple[tuple[S, ...], tuple[str, ...]]
"""What the lines of a file hold, and a sentence for each line that cannot be used."""


def packed_records(output: Path) -> SectionLines[Record]:
    """The packed records of an output folder, each with the folder that it had, or gets, of its own."""
    return _lines(output / RECORDS, Record)


def packed_plans(output: Path) -> SectionLines[SweepPlan]:
    """The packed plans of an output folder."""
    return _lines(output / PLANS, SweepPlan)


def forget_plans(output: Path, *, sweep: str) -> None:
    """Drop the packed plans of a sweep."""
    path = output / PLANS
    lines = path.read_bytes().split(b"\n") if path.is_file() else []
    kept = [line for line in lines if not _is_of(line, sweep)]
    if kept != lines:
        write_text(path, b"\n".join(kept).decode())


def read_scores(output: Path, record: Record) -> pd.DataFrame:
    """A row per test image of a run, from its own table or, where it has none, from that of the packed runs.

    Args:
        output: Folder that `Record.folder` is relative to.
        record: Of a run that tested.

    Raises:
        RecordError: As `score_texts`.
    """
    return _numbers(score_texts(output, record))


def read_calibration(output: Path, record: Record) -> pd.DataFrame | None:
    """A row per image that thresholds alone were fitted on, in the columns of `read_scores`; None where a run has none.

    `fold` is -1 for the images of `calibration_dir`, which the run's own model scored. It is from 0 on for training
    images, each scored by a model that was fitted without its fold. `kept_thresholds.usable_calibration` tells for
    which requirement they serve.

    Args:
        output: Folder that `Record.folder` is relative to.
        record: Of a run.

    Raises:
        RecordError: As `score_texts`.
    """
    if record.files.calibration is None:
        return None
    return _numbers(score_texts(output, record, name=CALIBRATION, packed_name=CALIBRATION_TABLE))


def score_texts(output: Path, record: Record, *, name: str = SCORES, packed_name: str = SCORE_TABLE) -> pd.DataFrame:
    """As `read_scores`, every cell as it is written.

    Args:
        output: Folder that `Record.folder` is relative to.
        record: Of a run.
        name: Of the run's own table.
        packed_name: Of that of the packed runs.

    Raises:
        RecordError: There are none, or they cannot be read.
    """
    rows, used = _rows_of(output, record, name, packed=packed_name)
    if GROUP in rows and (rows[GROUP] == "").all():  # packed beside runs whose data sets name parts
        rows = rows.drop(columns=GROUP)
    if set(rows.columns) == {*SCORE_COLUMNS, GROUP}:
        rows = rows[[*SCORE_COLUMNS, GROUP]]
    if tuple(rows.columns) not in (SCORE_COLUMNS, (*SCORE_COLUMNS, GROUP)) or rows.empty:
        found = f"columns {', '.join(rows.columns)}" if len(rows) else "no rows"
        msg = f"{used}: run {record.key} has {found}, expected rows of {', '.join(SCORE_COLUMNS)}; {_AGAIN}"
        raise RecordError(msg)
    if fault := _score_fault(rows, is_calibration=name == CALIBRATION):
        msg = f"{used}: run {record.key} has {fault}; {_AGAIN}"
        raise RecordError(msg)
    return rows


def _score_fault(rows: pd.DataFrame, *, is_calibration: bool) -> str | None:
    """What no run writes, and the first cell of it; None for nothing."""
    import numpy as np
    import pandas as pd

    numbers = {name: pd.to_numeric(rows[name], errors="coerce") for name in ("label", "score", "fold")}
    fold = numbers["fold"]
    faults = (
        (~numbers["label"].isin((0, 1)), "label", "0 or 1"),
        (~np.isfinite(numbers["score"]), "score", "a finite number"),
        (~((fold >= -1) & (fold % 1 == 0)) if is_calibration else ~fold.isin((0, 1)), "fold",
         "a whole number from -1 on" if is_calibration else "0 or 1"),
        (rows["image"].duplicated(), "image", "each image once"),
        (rows.get(GROUP, rows["image"]) == "", GROUP, "the name of a part"),
    )  # fmt: skip
    return next(
        (f"the {name} {rows[name][is_wrong].iloc[0]!r}, expected {what}" for is_wrong, name, what in faults
         if is_wrong.any()),
        None,
    )  # fmt: skip


def _numbers(texts: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    return pd.read_csv(io.StringIO(texts.to_csv(index=False)), keep_default_na=False, dtype={GROUP: str})


def read_resamples(output: Path, record: Record) -> pd.DataFrame:
    """The pixel metrics of a run on each of the test sets drawn from its own, float64; empty where there are none.

    Args:
        output: Folder that `Record.folder` is relative to.
        record: Of any run.

    Returns:
        A row per draw of `benchmark.statistics.resampling.resample_counts`, in its order, a column per metric.

    Raises:
        RecordError: As `resample_texts`.
    """
    return resample_texts(output, record).astype("float64")


def resample_texts(output: Path, record: Record) -> pd.DataFrame:
    """As `read_resamples`, every cell as it is written.

    Raises:
        RecordError: The record names such a table, and it is not there or cannot be read.
    """
    import pandas as pd

    if record.files.resamples is None:
        return pd.DataFrame()
    rows, used = _rows_of(output, record, RESAMPLES, packed=RESAMPLE_TABLE)
    columns = [name for name in rows.columns if (rows[name] != "").all()]
    if rows.empty or not columns:
        msg = f"{used}: run {record.key} has no row without blanks, expected a row per draw; {_AGAIN}"
        raise RecordError(msg)
    try:
        rows[columns].astype("float64")
    except ValueError as error:
        msg = f"{used}: run {record.key} has a cell that is no number ({error}); {_AGAIN}"
        raise RecordError(msg) from error
    return rows[columns].reset_index(drop=True)


def _rows_of(output: Path, record: Record, name: str, *, packed: str) -> tuple[pd.DataFrame, Path]:
    """What a run's own table holds or, where it has none, the packed one of it, as text; and which was read."""
    path = output / record.folder / name
    used = path if path.is_file() or not (output / packed).is_file() else output / packed
    try:
        table = _texts(used, _stamp(used))
    except (OSError, EOFError, ValueError, lzma.LZMAError) as error:
        msg = f"{used} cannot be read ({' '.join(str(error).split())}): {_AGAIN}"
        raise RecordError(msg) from error
    return (table if used == path else table[table["run"] == record.key].drop(columns="run")), used


def _lines(path: Path, kind: type[S]) -> SectionLines[S]:
    return _parsed(path, kind, _stamp(path)) if path.exists() else ((), ())


def _stamp(path: Path) -> tuple[int, int]:
    """What changes when a file does."""
    found = path.stat()
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=8)  # a sweep asks for one record at a time
def _parsed(path: Path, kind: type[S], stamp: tuple[int, int]) -> SectionLines[S]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        return (), (f"{path.name} cannot be read and is left out: {error}.",)
    found, faults = [], []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            found.append(_placed(parse(line, kind)))
        except RecordError as error:
            faults.append(f"{path.name}, line {number}, {error}.")
    return tuple(found), tuple(faults)


def _placed(section: S) -> S:
    if not isinstance(section, Record):
        return section
    data = section.dataset
    folder = run_folder(
        dataset=data.name, category=data.category, model=section.model, backbone=section.backbone, key=section.key
    )
    return section.model_copy(update={"folder": folder})


def _is_of(line: bytes, sweep: str) -> bool:
    try:
        return parse(line, SweepPlan).sweep == sweep
    except RecordError:
        return False  # the tables name it


@lru_cache(maxsize=6)  # the packed tables, and those of one run
def _texts(path: Path, stamp: tuple[int, int]) -> pd.DataFrame:
    import pandas as pd

    if path.suffix == ".csv" and (content := path.read_bytes()) and not content.endswith(b"\n"):
        msg = "its last line is not whole"
        raise ValueError(msg)
    return pd.read_csv(path, dtype=str, keep_default_na=False)
