"""Runs with scores of test images, as a sweep would leave them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmark.metrics.folds import stratified_folds
from benchmark.metrics.image import image_metrics
from benchmark.records.archive import load
from benchmark.tables.leaderboard import Frames, build_tables
from benchmark.tables.stored_scores import StoredScores
from tests.benchmark.fabricated import make_record, write


def scored(output: Path, *, gap: float, n_good: int = 40, n_defective: int = 60, noise: int = 0, **facts: Any) -> dict:
    """Write a run whose defective images score higher by `gap` standard deviations; return its record.

    The images are as difficult for every detector; `noise` seeds what is its own.
    """
    names = [f"good/{i:03}.png" for i in range(n_good)] + [f"bad/{i:03}.png" for i in range(n_defective)]
    labels = np.repeat([0, 1], [n_good, n_defective])
    shared = np.random.default_rng(0).normal(size=len(labels))
    own = np.random.default_rng([1, noise]).normal(size=len(labels))
    scores = 0.8 * shared + 0.6 * own + gap * labels
    folds = stratified_folds(labels, seed=0, ids=names)
    record = make_record(metrics=image_metrics(labels, scores, folds) | facts.pop("metrics", {}), **facts)
    write(output, [record])
    table = {"image": names, "label": labels, "kind": np.where(labels, "crack", "good"), "score": scores, "fold": folds}
    pd.DataFrame(table).to_csv(output / record["folder"] / "scores.csv", index=False)
    return record


def tables_in(output: Path, **rest: Any) -> Frames:
    """The tables of an output folder with the scores of its runs."""
    archive = load(output)
    return build_tables(archive.records, archive.plans, stored=StoredScores(output), **rest)
