"""`comparison.csv`: a row for each model and precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from extensions.runtime.atomic_write import write_whole
from inference.compare.verdicts import REJECTED

TABLE = "comparison.csv"
COLUMNS = (
    "run", "model", "backbone", "precision", "n_images", "largest_score_difference", "mean_score_difference",
    "largest_map_difference", "n_flipped", "n_flipped_near", "image_AUROC_trained", "image_AUROC",
    "threshold_trained", "threshold", "threshold_fitted_on", "backbone_images_per_second",
    "network_images_per_second", "end_to_end_images_per_second", "latency_p50_ms", "megabytes", "verdict", "error",
)  # fmt: skip


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
