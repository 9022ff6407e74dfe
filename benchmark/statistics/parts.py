"""Parts of several images: what a part scores, and its images judged as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmark.statistics.sample import Sample
from benchmark.statistics.thresholds import Calibration
from extensions.data.part_score import part_score


def parts_of_sample(sample: Sample, how: str) -> Sample:
    """The parts of a sample in place of its images: a part with a defective image is defective.

    Args:
        sample: With groups.
        how: As `extensions.data.part_score.part_score` takes it.

    Returns:
        A sample whose ids are the parts, in alphabetical order, without groups and pixel metrics. A part has the fold
        of its images, which are all in one.
    """
    assert sample.groups is not None
    ids, members = _members(sample.groups)
    return Sample(
        labels=np.array([sample.labels[rows].max() for rows in members]),
        scores=_scores(sample.scores, members, how),
        folds=np.array([sample.folds[rows[0]] for rows in members]),
        ids=ids,
    )


def parts_of_calibration(calibration: Calibration, how: str) -> Calibration:
    """Likewise of images that thresholds alone are fitted on; without groups each image is a part."""
    if calibration.groups is None:
        return calibration
    _, members = _members(calibration.groups)
    labels = np.array([calibration.labels[rows].max() for rows in members])
    return replace(calibration, labels=labels, scores=_scores(calibration.scores, members, how), groups=None)


def judged_as_parts(
    labels: np.ndarray, scores: np.ndarray, groups: Sequence[str], how: str
) -> tuple[np.ndarray, np.ndarray]:
    """Labels ``(P,)`` and raw scores ``(P,)`` of parts, from those of their images ``(N,)``."""
    _, members = _members(groups)
    return np.array([labels[rows].max() for rows in members]), _scores(scores[None], members, how)[0]


def _members(groups: Sequence[str]) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """The parts, and the rows of each."""
    names, part_of = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    order = np.argsort(part_of, kind="stable")
    return tuple(map(str, names)), np.split(order, np.flatnonzero(np.diff(part_of[order])) + 1)


def _scores(scores: np.ndarray, members: Sequence[np.ndarray], how: str) -> np.ndarray:
    """``(S, N)`` of images to ``(S, P)`` of parts."""
    return np.array([[part_score(line[rows], how) for rows in members] for line in scores])
