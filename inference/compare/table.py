"""`comparison.csv`: a row for each model and precision, and which of these exports to take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from extensions.runtime.atomic_write import write_whole
from inference.measure.cost import is_faster, speed_sentence

TABLE = "comparison.csv"
COLUMNS = (
    "run", "model", "backbone", "precision", "n_images", "largest_score_difference", "mean_score_difference",
    "largest_map_difference", "n_flipped", "n_flipped_near", "n_unsure_trained", "n_unsure", "image_AUROC_trained",
    "image_AUROC", "threshold_trained", "threshold", "upper_threshold_trained", "upper_threshold",
    "threshold_fitted_on", "backbone_images_per_second",
    "network_images_per_second", "end_to_end_images_per_second", "latency_p50_ms", "megabytes", "verdict", "error",
)  # fmt: skip
KEPT, SLOWER, REJECTED = "kept", "kept, but not faster than fp32 here", "rejected"
SPEED = "network_images_per_second"


def new_row(**values: Any) -> dict[str, Any]:
    """A row with these values; the others are blank."""
    return dict.fromkeys(COLUMNS) | values


def rejected(row: dict[str, Any], error: Exception | str) -> dict[str, Any]:
    """The row of what cannot be taken, and why."""
    return row | {"verdict": REJECTED, "error": " ".join(str(error).split())}


def write_table(rows: list[dict[str, Any]], output: Path) -> pd.DataFrame:
    """Write the rows so far, unrounded; the table."""
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    write_whole(output / TABLE, frame.to_csv(index=False))
    return frame


def judge_speed(rows: Sequence[dict[str, Any]]) -> None:
    """Mark the kept rows of int8 that gain nothing on this machine."""
    for row in rows:
        full = _at_fp32(row, rows)
        if row["precision"] == "int8" and row["verdict"] == KEPT and full and not is_faster(**_speeds(full, row)):
            row["verdict"] = SLOWER


def sentences(frame: pd.DataFrame) -> list[str]:
    """What was found, for a person: of int8 what it gains on this machine, of each precision how many are kept."""
    rows: list[dict[str, Any]] = [
        {str(name): None if pd.isna(value) else value for name, value in line.items()} for _, line in frame.iterrows()
    ]
    told = []
    for row in rows:
        full = _at_fp32(row, rows)
        if row["precision"] == "int8" and row["verdict"] != REJECTED and full:
            told.append(
                f"{row['model']} {row['backbone'] or ''}".rstrip() + f": {speed_sentence(**_speeds(full, row))}"
            )
    for precision in dict.fromkeys(row["precision"] for row in rows if row["precision"]):
        of_one = [row for row in rows if row["precision"] == precision]
        n_kept = sum(row["verdict"] != REJECTED for row in of_one)
        told.append(f"{precision}: {n_kept} of {len(of_one)} kept")
    return told


def _at_fp32(row: dict[str, Any], rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The row of the same run at fp32, where both were measured."""
    alike = [one for one in rows if (one["run"], one["precision"]) == (row["run"], "fp32")]
    return next((one for one in alike if one[SPEED] and row[SPEED]), None)


def _speeds(full: dict[str, Any], small: dict[str, Any]) -> dict[str, float]:
    return {"fp32": full[SPEED], "int8": small[SPEED]}
