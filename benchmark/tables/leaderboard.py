"""From records to frames: means over seeds and categories, ranks, gaps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.metrics.metric_table import HEADLINE, METRICS
from benchmark.plan.naming import labels
from benchmark.records.cells import Row, group_runs
from benchmark.records.record import Record
from benchmark.records.sweep_plan import SweepPlan
from benchmark.tables.about import about_frame
from benchmark.tables.augmentation_frames import augmentation_frame
from benchmark.tables.backbone_frames import backbone_frame
from benchmark.tables.decision import Decision
from benchmark.tables.gallery import GalleryImage
from benchmark.tables.refinement_frames import refinement_frame, rounds_frame
from benchmark.tables.run_table import failures_frame, runs_frame
from benchmark.tables.summary import MEASURED, mean_line, summary

COLUMNS: tuple[str, ...] = (
    "rank", "model", "backbone", "layers", "settings", "dataset", "category", "n_seeds", "n_categories",
    "image_AUROC", "image_AUROC_std", "image_F1Score", "image_F1Score_std",
    "pixel_AUROC", "pixel_AUROC_std", "pixel_F1Score", "pixel_F1Score_std",
    "image_F1Max", "pixel_F1Max", "pixel_AUPRO", "image_F1Floor", "pixel_F1Floor",
    "image_size", "epochs", "fit_seconds", "latency_ms", "latency_p95_ms", "peak_memory_bytes", "model_bytes",
    "threshold_source", "k_shot", "contamination_ratio", "synthetic", "weights_sha256", "run_keys", "checkpoint",
    "status", "stopped_by", "image_AveragePrecision", "pixel_AveragePrecision", "pixel_binning_error",
    "reused", "label_free_Accuracy", "label_free_Precision", "label_free_Recall", "label_free_F1Score",
    "image_AUROC_by_kind", "latency_min_ms", "latency_max_ms", "latency_session", "latency_note",
    "fit_reused_seconds", "fit_machine",
)  # fmt: skip
COLUMNS += tuple(entry.name for entry in METRICS if entry.name not in COLUMNS)
"""Columns of ``leaderboard.csv``, in order; a metric without a place of its own comes last."""


@dataclass(frozen=True)
class Frames:
    """The tables, unformatted; a cell without a value is missing (NaN or None), never 0.

    Attributes:
        leaderboard: A row per model, backbone, settings and data set: the mean over its categories. Columns `COLUMNS`.
        by_category: The same for each category.
        runs: A row per record, with those that no longer count.
        failures: A row per run that was asked for and has no result.
        about: section, name, value: how the numbers were made and what they mean.
        refinement: A row per condition, strategy and rule, see `refinement_frame`; empty where nothing was refined.
        rounds: A row per round of each refinement.
        augmentation: A row per detector, augmentation and where, see `augmentation_frame`; empty where there is none.
        backbones: A row per backbone and pre-processing, see `backbone_frame`; empty where there is one and no probe.
        leading: The counted records of the best rows of each data set, with their rank.
        gallery: Images that these decided best and worst.
        differences: Each pair of rows of a data set compared on the same test images.
        decisions: For each data set which detector to put on the line, with its reasons.
    """

    leaderboard: pd.DataFrame
    by_category: pd.DataFrame
    runs: pd.DataFrame
    failures: pd.DataFrame
    about: pd.DataFrame
    refinement: pd.DataFrame = field(default_factory=pd.DataFrame)
    rounds: pd.DataFrame = field(default_factory=pd.DataFrame)
    augmentation: pd.DataFrame = field(default_factory=pd.DataFrame)
    backbones: pd.DataFrame = field(default_factory=pd.DataFrame)
    leading: list[tuple[int, Record]] = field(default_factory=list)
    gallery: list[GalleryImage] = field(default_factory=list)
    differences: pd.DataFrame = field(default_factory=pd.DataFrame)
    decisions: list[Decision] = field(default_factory=list)

    @property
    def table(self) -> pd.DataFrame:
        """Leaderboard and categories in one, as in ``leaderboard.csv``."""
        return pd.concat([self.leaderboard, self.by_category], ignore_index=True)


def build_tables(
    records: Sequence[Record],
    plans: Sequence[SweepPlan] = (),
    *,
    probes: Sequence[dict[str, Any]] = (),
    warnings: Sequence[str] = (),
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
    """
    rows = group_runs(
        [record for record in records if not (record.is_finished and record.experiment.only_ranks)],
        [_trained(plan) for plan in plans],
    )
    rounds = rounds_frame(records)
    categories: dict[str, set[str]] = {}
    for row in rows:
        categories.setdefault(row.dataset, set()).update(category for category, _ in row.cells)
    drawn = {record.dataset.name for record in records if record.dataset.synthetic}
    means, parts = [], []
    _disambiguate_settings(rows)
    for number, row in enumerate(rows):
        whole = sorted(categories[row.dataset])
        label = {"_row": number}
        means.append(mean_line(row, whole) | label)
        parts += [summary(row, [category]) | label for category in whole]
    for line in (*means, *parts):
        line["synthetic"] = line["dataset"] in drawn
    _rank(means)
    means.sort(key=_order)
    place = {line["_row"]: i for i, line in enumerate(means)}
    parts.sort(key=lambda line: (line["dataset"], line["category"], place[line["_row"]]))
    counted = [record for row in rows for record in row.counted]
    leaderboard = _frame(means)
    return Frames(
        leaderboard=leaderboard,
        by_category=_frame(parts),
        runs=runs_frame(records, {record.folder for record in counted}, _settings(rows)),
        failures=failures_frame(rows, drawn),
        about=about_frame([r for r in counted if r.is_finished], plans, leaderboard, warnings, probes),
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
    )


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


def sort_key(line: Mapping[str, Any]) -> tuple[float, float, float]:
    """Sorts the best first: image AUROC, then pixel AUROC, then latency; blanks last."""
    image, pixel, latency = (
        math.inf if pd.isna(line[name]) else sign * line[name]
        for name, sign in (("image_AUROC", -1), ("pixel_AUROC", -1), ("latency_ms", 1))
    )
    return image, pixel, latency


def _order(line: dict[str, Any]) -> tuple:
    return (
        line["dataset"],
        line.get("rank") or math.inf,
        sort_key(line),
        line["model"],
        line["backbone"],
        line["settings"],
    )


def _rank(lines: list[dict[str, Any]]) -> None:
    """Number the complete lines of each data set from 1; equals share the better number."""
    for dataset in {line["dataset"] for line in lines}:
        ranked = [
            line
            for line in lines
            if line["dataset"] == dataset and line["_complete"] and line["image_AUROC"] is not None
        ]
        for line in ranked:
            line["rank"] = 1 + sum(sort_key(other) < sort_key(line) for other in ranked)


def _frame(lines: list[dict[str, Any]]) -> pd.DataFrame:
    """Lines with `COLUMNS`; whole numbers stay whole beside blanks."""
    frame = pd.DataFrame([{name: line.get(name) for name in COLUMNS} for line in lines], columns=list(COLUMNS))
    whole = ("rank", "n_seeds", "n_categories", "k_shot")
    number = (*MEASURED, *(f"{name}_std" for name in HEADLINE), "contamination_ratio")
    return frame.astype(dict.fromkeys(whole, "Int64") | dict.fromkeys(number, "float64"))
