"""From records to frames: means over seeds and categories, ranks, gaps, how sure they are, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.metrics.metric_table import HEADLINE
from benchmark.plan.naming import labels
from benchmark.records.cells import Row, group_runs
from benchmark.records.record import Record
from benchmark.records.sweep_plan import SweepPlan
from benchmark.statistics.requirement import Requirement
from benchmark.tables.about import about_frame, best_sentences
from benchmark.tables.augmentation_frames import augmentation_frame
from benchmark.tables.backbone_frames import backbone_frame
from benchmark.tables.certainty import INTERVALS, OF_PARTS, POINT, TOLD
from benchmark.tables.decide import decide
from benchmark.tables.differences import compare_rows, differences_frame, set_rank_ranges
from benchmark.tables.frames import COLUMNS, Frames
from benchmark.tables.judged_row import judge
from benchmark.tables.overall import overall
from benchmark.tables.pareto import mark_front
from benchmark.tables.ranking import order, rank
from benchmark.tables.refinement_frames import refinement_frame, rounds_frame
from benchmark.tables.required import newest_requirement
from benchmark.tables.run_table import failures_frame, runs_frame
from benchmark.tables.stored_scores import StoredScores
from benchmark.tables.summary import MEASURED, mean_line, summary

__all__ = ["COLUMNS", "Frames", "build_tables"]


def build_tables(
    records: Sequence[Record],
    plans: Sequence[SweepPlan] = (),
    *,
    probes: Sequence[dict[str, Any]] = (),
    warnings: Sequence[str] = (),
    stored: StoredScores | None = None,
    requirement: Requirement | None = None,
) -> Frames:
    """Compute all tables.

    A value over seeds is their mean (``*_std``: their sample standard deviation, blank for one seed); a value over
    categories is the mean of the categories' values, blank when one is missing; ``*_std`` there is that of the seeds'
    own means over categories. A row must have every category that any row of its data set has, and in each every seed
    that itself has anywhere; else it has no rank, nor has one with a run that had not converged.

    Args:
        records: As :func:`benchmark.records.archive.load` gives them.
        plans: What was asked for; so that what never ran is visible.
        probes: Linear probes of backbones, see :func:`benchmark.records.probes.read_probes`.
        warnings: Sentences for the About table.
        stored: The scores of the runs; without them nothing tells how sure a number is, and those columns are blank.
        requirement: What missed defects and false alarms are counted at; default: that of the newest plan.
    """
    if stored is not None:
        records = [stored.completed(record) for record in records]
    asked = requirement or newest_requirement(plans, records)
    drawn = {record.dataset.name for record in records if record.dataset.synthetic}
    rows, means, parts = ranked_lines(records, plans)
    judged = judge(means, parts, rows, stored, asked)
    compared = compare_rows(judged)
    set_rank_ranges(judged, compared)
    ranking = overall(means, parts)
    counted = [record for row in rows for record in row.counted]
    leaderboard = _frame(means)
    told = (*warnings, *(stored.sentences if stored is not None else ()))
    rounds = rounds_frame(records)
    finished = [record for record in counted if record.is_finished]
    reasons = dict(
        zip(sorted(set(leaderboard["dataset"])), [s for _, s in best_sentences(leaderboard, finished)], strict=True)
    )
    return Frames(
        leaderboard=leaderboard,
        by_category=_frame(parts),
        runs=runs_frame(records, {record.folder for record in counted}, _settings(rows)),
        failures=failures_frame(rows, drawn),
        about=about_frame(finished, plans, leaderboard, told, probes, ranking),
        refinement=refinement_frame(rounds),
        rounds=rounds,
        augmentation=augmentation_frame(records),
        backbones=backbone_frame([(rows[line["_row"]], line) for line in means], probes),
        leading=[
            (line["rank"], cell.counted)
            for line in means
            if line.get("rank")
            for _, cell in sorted(rows[line["_row"]].cells.items())
            if cell.counted is not None
        ],
        differences=differences_frame(compared),
        overall=None if isinstance(ranking, str) else ranking,
        decisions=[] if stored is None else decide(judged, compared, asked, stored, reasons=reasons),
    )


def ranked_lines(
    records: Sequence[Record], plans: Sequence[SweepPlan]
) -> tuple[list[Row], list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows, a line for each, ranked, and one for each of its categories, in the order in which they are shown.

    `_row` of a line is the place of its row, `_categories` are those that it should have.
    """
    rows = group_runs(
        [record for record in records if not (record.is_finished and record.experiment.only_ranks)],
        [_trained(plan) for plan in plans],
    )
    drawn = {record.dataset.name for record in records if record.dataset.synthetic}
    categories: dict[str, set[str]] = {}
    for row in rows:
        categories.setdefault(row.dataset, set()).update(category for category, _ in row.cells)
    means: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    _disambiguate_settings(rows)
    for number, row in enumerate(rows):
        whole = sorted(categories[row.dataset])
        label = {"_row": number, "_categories": whole}
        means.append(mean_line(row, whole) | label)
        parts += [summary(row, [category]) | {"_row": number, "_categories": [category]} for category in whole]
    for line in (*means, *parts):
        line["synthetic"] = line["dataset"] in drawn
    rank(means)
    mark_front(means)
    mark_front(parts)
    means.sort(key=order)
    place = {line["_row"]: i for i, line in enumerate(means)}
    parts.sort(key=lambda line: (line["dataset"], line["category"], place[line["_row"]]))
    return rows, means, parts


def _trained(plan: SweepPlan) -> SweepPlan:
    """The plan without what only ranks images, which is no row of the leaderboard."""
    left = [entry for entry in plan.experiments if entry.experiment is None or not entry.experiment.only_ranks]
    return plan.model_copy(update={"experiments": left})


def _disambiguate_settings(rows: Sequence[Row]) -> None:
    """Complete the settings of rows that would read the same by the arguments in which they differ."""
    seen = [(row.dataset, row.model, row.backbone) for row in rows]
    told = labels([row.settings for row in rows], [row.experiment.on_disk() for row in rows], alike=seen)
    for row, settings in zip(rows, told, strict=True):
        row.settings = settings


def _settings(rows: Sequence[Row]) -> dict[Path, str]:
    """Settings by the folder of a record."""
    return {
        record.folder: row.settings
        for row in rows
        for cell in row.cells.values()
        for record in (cell.counted, *cell.superseded)
        if record is not None
    }


def _frame(lines: list[dict[str, Any]]) -> pd.DataFrame:
    """Lines with `COLUMNS` and `TOLD`; whole numbers stay whole beside blanks."""
    names = [*COLUMNS, *TOLD]
    frame = pd.DataFrame([{name: line.get(name) for name in names} for line in lines], columns=names)
    whole = (
        "rank", "n_seeds", "n_categories", "k_shot", "known_defects", "n_defective", "n_good", "part_n_defective",
        "part_n_good",
    )  # fmt: skip
    number = (*MEASURED, *(f"{name}_std" for name in HEADLINE), "contamination_ratio", *INTERVALS)
    number += tuple(name for name in (*POINT, *OF_PARTS) if name not in whole)
    return frame.astype(dict.fromkeys(whole, "Int64") | dict.fromkeys(number, "float64"))
