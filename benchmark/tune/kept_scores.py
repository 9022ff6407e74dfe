"""Scores of the images that a trial was judged on: a file a trial beside Optuna's journal, for comparisons later."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmark.records.run_files import write_text
from benchmark.statistics.sample import Sample
from benchmark.tune.lead import sample_of
from extensions.configuration import ConfigError

FOLDER = "scores"
COLUMNS = ("part", "image", "label", "score")


def scores_file(output: Path, detector: str, trial: int) -> Path:
    """Where the scores of a trial are."""
    return output / FOLDER / detector / f"{trial:05}.csv"


def keep_scores(path: Path, scores: Sequence[pd.DataFrame]) -> None:
    """Write them, whole or not at all.

    Args:
        path: Of `scores_file`.
        scores: A data set each, with columns image, label and score (raw, higher is more anomalous); in the file
            `part` is the number of the data set from 0 on.

    Raises:
        DiskFullError: There is no room.
    """
    frame = pd.concat([one.assign(part=number) for number, one in enumerate(scores)])
    write_text(path, frame[list(COLUMNS)].to_csv(index=False))


def kept_scores(path: Path) -> list[Sample]:
    """Read them, a sample a data set.

    Raises:
        ConfigError: The file is not there, or damaged.
    """
    try:
        frame = pd.read_csv(path, keep_default_na=False, dtype={"image": str}, float_precision="round_trip")
        if tuple(frame.columns) != COLUMNS or frame.empty:
            msg = f"found columns {', '.join(map(str, frame.columns))} and {len(frame)} images in it"
            raise ValueError(msg)
        return [sample_of(rows) for _, rows in frame.astype({"score": float}).groupby("part", sort=True)]
    except (OSError, ValueError) as error:
        raise ConfigError(damaged(path, error)) from error


def damaged(path: Path, error: Exception) -> str:
    """That a search cannot go on without this file."""
    reason = "it is not there" if isinstance(error, FileNotFoundError) else str(error)
    return (
        f"{path}: expected the scores of a trial, by which it is compared with the default, but {reason}; give another "
        "--output, or delete the folder of the search"
    )
