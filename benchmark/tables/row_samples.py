"""From the runs of a row to what intervals and comparisons start from: the test images of each category."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmark.records.cells import Row
from benchmark.records.record import Record
from benchmark.statistics.requirement import Requirement
from benchmark.statistics.sample import Sample
from benchmark.statistics.thresholds import Calibration
from benchmark.tables.stored_scores import StoredScores


def row_samples(row: Row, categories: Sequence[str], stored: StoredScores) -> tuple[Sample, ...] | None:
    """A sample a category, of the seeds that finished in all of these.

    Returns:
        None where a category or every seed is missing, or the scores of a run are: a part would not be the row.
    """
    found = [_sample(runs, stored) for runs in _runs(row, categories)]
    whole = tuple(sample for sample in found if sample is not None)
    return whole if whole and len(whole) == len(categories) else None


def row_calibration(
    row: Row, categories: Sequence[str], stored: StoredScores, requirement: Requirement
) -> tuple[Calibration, ...] | None:
    """The images that thresholds alone are fitted on, one `Calibration` a category as in `row_samples`.

    Returns:
        None where thresholds are fitted on test images: some run has no others, or seeds have different ones.
    """
    found = []
    for runs in _runs(row, categories):
        known = [one for run in runs if (one := stored.calibration(run, requirement)) is not None]
        if not known or len(known) < len(runs):
            return None
        if len({(tuple(labels), groups) for labels, _, groups in known}) > 1:
            stored.tell(f"{runs[0].detector} on {runs[0].dataset.label}: its seeds have different calibration images")
            return None
        labels, _, groups = known[0]
        found.append(Calibration(labels=labels, scores=np.stack([scores for _, scores, _ in known]), groups=groups))
    return tuple(found)


def _runs(row: Row, categories: Sequence[str]) -> list[list[Record]]:
    """Of each category the records that count, of the seeds that finished in all categories, in their order."""
    done = {place: cell.counted for place, cell in row.cells.items() if cell.state == "finished"}
    seeds = [seed for seed in row.seeds if all((category, seed) in done for category in categories)]
    return [[record for seed in seeds if (record := done[category, seed]) is not None] for category in categories]


def _sample(runs: Sequence[Record], stored: StoredScores) -> Sample | None:
    """The runs of one category, one a seed; None where their test images are not the same."""
    scores = [found for run in runs if (found := stored.of(run)) is not None]
    if not scores or len(scores) < len(runs):
        return None
    first = scores[0]
    if any(
        other.ids != first.ids or other.groups != first.groups or (other.labels != first.labels).any()
        for other in scores
    ):
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
            groups=first.groups,
            pixel=_pixel([stored.resamples(run) for run in runs]),
        )
    except ValueError as error:
        stored.tell(f"{runs[0].detector} on {runs[0].dataset.label}: {error}".rstrip("."))
        return None


def _pixel(seeds: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """By the name of a metric ``(S, B)``; those alone that every seed has, with as many resamples."""
    names = [name for name in seeds[0] if all(name in one and one[name].shape == seeds[0][name].shape for one in seeds)]
    return {name: np.stack([one[name] for one in seeds]) for name in names}
