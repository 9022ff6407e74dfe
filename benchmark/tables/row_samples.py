"""From the runs of a row to what intervals and comparisons start from: the test images of each category."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.records.cells import Row
from benchmark.records.record import Record
from benchmark.statistics.sample import Sample
from benchmark.tables.stored_scores import StoredScores


def row_samples(row: Row, categories: Sequence[str], stored: StoredScores) -> tuple[Sample, ...] | None:
    """A sample a category, of the seeds that finished in all of these.

    Returns:
        None where a category or every seed is missing, or the scores of a run are: a part would not be the row.
    """
    seeds = [
        seed
        for seed in row.seeds
        if all((c, seed) in row.cells and row.cells[c, seed].state == "finished" for c in categories)
    ]
    found = [_sample(runs_of(row, category, seeds), stored) for category in categories]
    whole = tuple(sample for sample in found if sample is not None)
    return whole if whole and len(whole) == len(categories) else None


def runs_of(row: Row, category: str, seeds: Sequence[int]) -> list[Record]:
    """The records of a category that count, in the order of the seeds."""
    return [record for seed in seeds if (record := row.cells[category, seed].counted) is not None]


def _sample(runs: Sequence[Record], stored: StoredScores) -> Sample | None:
    """The runs of one category, one a seed; None where their test images are not the same."""
    scores = [found for run in runs if (found := stored.of(run)) is not None]
    if not scores or len(scores) < len(runs):
        return None
    first = scores[0]
    if any(other.ids != first.ids or (other.labels != first.labels).any() for other in scores):
        stored.tell(
            f"{runs[0].detector} on {runs[0].dataset.label}: its seeds were tested on different images, so it has no "
            "intervals and is not compared"
        )
        return None
    try:
        return Sample(
            labels=first.labels,
            scores=np.stack([other.scores for other in scores]),
            folds=first.folds,
            ids=first.ids,
        )
    except ValueError as error:
        stored.tell(f"{runs[0].detector} on {runs[0].dataset.label}: {error}".rstrip("."))
        return None
