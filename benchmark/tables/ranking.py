"""Which row of a data set comes first: the rank of the leaderboard."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from benchmark.records.record import Record

RANKED_BY = ("image_AUROC", "pixel_AUROC", "latency_ms")


def sort_key(line: Mapping[str, Any]) -> tuple[float, float, float]:
    """Sorts the best first: image AUROC, then pixel AUROC, then latency; blanks last."""
    image, pixel, latency = (
        math.inf if pd.isna(line[name]) else sign * line[name]
        for name, sign in (("image_AUROC", -1), ("pixel_AUROC", -1), ("latency_ms", 1))
    )
    return image, pixel, latency


def order(line: Mapping[str, Any]) -> tuple:
    """Sorts the lines of the leaderboard: by data set, in each by rank, those without a rank last."""
    return (
        line["dataset"],
        line.get("rank") or math.inf,
        sort_key(line),
        line["model"],
        line["backbone"],
        line["settings"],
    )


def rank(lines: Sequence[dict[str, Any]]) -> None:
    """Number the complete lines of each data set from 1; equals share the better number."""
    for dataset in {line["dataset"] for line in lines}:
        ranked = [
            line
            for line in lines
            if line["dataset"] == dataset and line["_complete"] and line["image_AUROC"] is not None
        ]
        for line in ranked:
            line["rank"] = 1 + sum(sort_key(other) < sort_key(line) for other in ranked)


def best_of(records: Sequence[Record]) -> Record:
    """Of some finished runs the one that a leaderboard of them alone would put first."""
    return min(records, key=lambda record: (sort_key({name: record.measured(name) for name in RANKED_BY}), record.key))
