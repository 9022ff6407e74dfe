"""Packs the records and scores of an output folder into a few files that a repository can hold."""

from __future__ import annotations

import json
import logging
import lzma
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.records.archive import load
from benchmark.records.packed import (
    CALIBRATION_TABLE,
    PLANS,
    RECORDS,
    RESAMPLE_TABLE,
    SCORE_TABLE,
    packed_plans,
    packed_records,
    resample_texts,
    score_texts,
)
from benchmark.records.record import Record
from benchmark.records.run_files import CALIBRATION
from benchmark.records.section import Section
from benchmark.records.sweep_plan import SweepPlan
from benchmark.report.write import write_csv
from benchmark.tables.leaderboard import build_tables
from benchmark.tables.stored_scores import StoredScores
from extensions.runtime.disk import room_for
from extensions.runtime.escaped import writable_content

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


def pack(output: Path, to: Path, *, allow_uncommitted: bool = False) -> list[Path]:
    """Write the runs of an output folder, and those packed before, as packed runs; return the files.

    Checkpoints, drawn images and suspects are not packed, and no packed record names a checkpoint or an image. All is
    written, or nothing.

    Args:
        output: Folder of `benchmark run`; its runs stay as they are.
        to: Folder of the packed runs, new or with packed runs to which these are added. Of two runs with one key that
            of `output` counts, unless only the other finished.
        allow_uncommitted: Take records, too, of which no commit holds the code that made them.

    Raises:
        ValueError: There is nothing to pack, a record is of code that was not committed, a table of scores cannot be
            read, or a packed file in `to` is damaged.
        DiskFullError: There is no room.
    """
    source, before, plans_before = load(output), packed_records(to), packed_plans(to)
    if faults := [*before[1], *plans_before[1]]:
        msg = f"{to}: {' '.join(faults)} Take the file from its repository again, or give another folder by --to"
        raise ValueError(msg)
    if not source.records:
        msg = f"{output}: no readable record in it, expected the output folder of `workbench run`"
        raise ValueError(msg)
    for sentence in source.warnings:
        logger.warning("%s: %s", output, sentence)
    added = _added([_without_large_files(record) for record in source.records], {one.key: one for one in before[0]})
    if not allow_uncommitted:
        _check_committed(added, n_records=len(source.records))
    packed = {one.key: (to, one) for one in before[0]} | {one.key: (output, one) for one in added}
    homes = sorted(packed.values(), key=lambda one: one[1].folder)
    plans = _unanswered([*plans_before[0], *source.plans], [record for _, record in homes])
    with tempfile.TemporaryDirectory(prefix=".pack-", dir=_existing(to)) as folder, room_for(to):
        stage = Path(folder)
        for path in (*to.glob("probe*.csv"), *output.glob("probe*.csv")):
            (stage / path.name).write_bytes(path.read_bytes())
        _write_runs(homes, plans, stage)
        _write_leaderboard(stage, to)
        to.mkdir(parents=True, exist_ok=True)
        return [path.replace(to / path.name) for path in sorted(stage.iterdir()) if path.is_file()]


def _added(records: Sequence[Record], before: Mapping[str, Record]) -> list[Record]:
    """Those that are not packed yet."""
    return [
        record
        for record in records
        if record.key not in before
        or (before[record.key] != record and (record.is_finished or not before[record.key].is_finished))
    ]


def _without_large_files(record: Record) -> Record:
    """It names neither a checkpoint nor drawn images, for they stay where they are."""
    if record.files.checkpoint is None and not record.files.images:
        return record
    left = {"checkpoint": None, "images": record.files.images and []}
    return record.model_copy(update={"files": record.files.model_copy(update=left)})


def _check_committed(records: Sequence[Record], *, n_records: int) -> None:
    unsure = [record.key for record in records if str(record.environment.get("commit") or "").endswith("+")]
    if unsure:
        msg = (
            f"{len(unsure)} of {n_records} records, such as {unsure[0]}, are of code with uncommitted changes, so that "
            "nobody can make them again: commit and run them again with --overwrite all, or pack them as they are with "
            "--allow-uncommitted"
        )
        raise ValueError(msg)


def _unanswered(plans: Iterable[SweepPlan], records: Sequence[Record]) -> list[SweepPlan]:
    """The plans, each once, without the runs that a record answers."""
    answered = {record.experiment_id for record in records if record.is_current}
    left: list[SweepPlan] = []
    for plan in plans:
        entries = [entry for entry in plan.experiments if entry.experiment_id not in answered]
        plan = plan.model_copy(update={"experiments": entries})
        if plan not in left:
            left.append(plan)
    return left


def _write_runs(homes: Sequence[tuple[Path, Record]], plans: Sequence[SweepPlan], stage: Path) -> None:
    """Records, plans, scores and resamples; `homes` has each record with the output folder it is in."""
    (stage / RECORDS).write_text(_lines(record for _, record in homes), encoding="utf-8")
    if plans:
        (stage / PLANS).write_text(_lines(plans), encoding="utf-8")
    tables = [score_texts(home, one).assign(run=one.key) for home, one in homes if one.files.scores]
    _write_table(tables, stage / SCORE_TABLE)
    names = {"name": CALIBRATION, "packed_name": CALIBRATION_TABLE}
    tables = [score_texts(home, one, **names).assign(run=one.key) for home, one in homes if one.files.calibration]
    _write_table(tables, stage / CALIBRATION_TABLE)
    tables = [resample_texts(home, one).assign(run=one.key) for home, one in homes if one.files.resamples]
    _write_table(tables, stage / RESAMPLE_TABLE)


def _write_table(tables: Sequence[pd.DataFrame], path: Path) -> None:
    """The rows of several runs as one compressed file, the key of its run in front of each; none without runs."""
    import pandas as pd

    if tables:
        table = pd.concat(tables)
        table.insert(0, "run", table.pop("run"))
        text = table.to_csv(index=False, lineterminator="\n")
        path.write_bytes(lzma.compress(text.encode(), preset=9))


def _lines(sections: Iterable[Section]) -> str:
    told = (writable_content(section.on_disk()) for section in sections)
    return "".join(json.dumps(one, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n" for one in told)


def _write_leaderboard(stage: Path, to: Path) -> None:
    """The leaderboard of what `to` is going to hold, with the runs that lie there unpacked."""
    for name in ("runs", "plans"):
        if (to / name).is_dir():
            (stage / name).symlink_to((to / name).resolve())
    found = load(stage)
    tables = build_tables(
        found.records, found.plans, probes=found.probes, warnings=found.warnings, stored=StoredScores(stage)
    )
    write_csv(tables, stage / "leaderboard.csv", to)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(one for one in (folder, *folder.resolve().parents) if one.is_dir())
