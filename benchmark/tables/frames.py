"""The tables that people read, unformatted."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from benchmark.metrics.metric_table import METRICS
from benchmark.records.record import Record
from benchmark.statistics.many_categories import OverallRanking
from benchmark.tables.certainty import CERTAINTY
from benchmark.tables.decision import Decision
from benchmark.tables.gallery import GalleryImage

COLUMNS: tuple[str, ...] = (
    "rank", "model", "backbone", "layers", "settings", "dataset", "category", "n_seeds", "n_categories",
    "image_AUROC", "image_AUROC_std", "image_F1Score", "image_F1Score_std",
    "pixel_AUROC", "pixel_AUROC_std", "pixel_F1Score", "pixel_F1Score_std",
    "image_F1Max", "pixel_F1Max", "pixel_AUPRO", "image_F1Floor", "pixel_F1Floor",
    "image_size", "epochs", "fit_seconds", "latency_ms", "latency_p95_ms", "peak_memory_bytes", "model_bytes",
    "threshold_source", "training", "k_shot", "contamination_ratio", "known_defects", "synthetic", "weights_sha256",
    "run_keys", "checkpoint", "status", "stopped_by", "image_AveragePrecision", "pixel_AveragePrecision",
    "pixel_binning_error",
    "reused", "label_free_Accuracy", "label_free_Precision", "label_free_Recall", "label_free_F1Score",
    "image_AUROC_by_kind", "latency_min_ms", "latency_max_ms", "latency_session", "latency_note",
    "fit_reused_seconds", "fit_machine", "pareto",
)  # fmt: skip
COLUMNS += tuple(entry.name for entry in METRICS if entry.name not in COLUMNS)
COLUMNS += CERTAINTY
"""Columns of ``leaderboard.csv``, in order; a metric without a place of its own comes before those of certainty."""


@dataclass(frozen=True)
class Frames:
    """The tables, unformatted; a cell without a value is missing (NaN or None), never 0.

    Attributes:
        leaderboard: A row per model, backbone, settings and data set: the mean over its categories. Columns
            `COLUMNS` and, as texts, `TOLD`.
        by_category: The same for each category.
        runs: A row per record, with those that no longer count.
        failures: A row per run that was asked for and has no result.
        about: section, name, value: how the numbers were made and what they mean.
        refinement: A row per condition, strategy and rule, see `refinement_frame`; empty where nothing was refined.
        rounds: A row per round of each refinement.
        augmentation: A row per detector, augmentation and where, see `augmentation_frame`; empty where there is none.
        backbones: A row per backbone and pre-processing, see `backbone_frame`; empty where there is one and no probe.
        leading: The counted records of the best rows of each data set, with their rank.
        gallery: Images that show what these decide: missed, false alarms, typical ones.
        differences: Each pair of rows of a data set compared on the same test images, see `differences_frame`.
        decisions: For each data set which detector to put on the line, with its reasons.
        overall: Detectors over the categories of all data sets; None where there are too few, which About tells.
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
    overall: OverallRanking | None = None

    @property
    def table(self) -> pd.DataFrame:
        """Leaderboard and categories in one, as in ``leaderboard.csv``."""
        return pd.concat([self.leaderboard, self.by_category], ignore_index=True)[list(COLUMNS)]
