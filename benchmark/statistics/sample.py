"""The test images of one category under one detector: what every interval and every comparison starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Labels, folds and scores of the test images of a category, or of a data set without categories.

    A row of the leaderboard is a sequence of them, one a category; a metric of the row is the mean over categories of
    the mean over seeds. Two samples are the same only where they are one object, so results can be kept by sample.

    Args:
        labels: ``(N,)``, 0 good, 1 defective.
        scores: ``(S, N)`` raw scores, a line a seed, higher is more anomalous.
        folds: ``(N,)``, 0 or 1, from :func:`benchmark.metrics.folds.stratified_folds`.
        ids: ``(N,)`` unique names of the images, equal for every detector.
        groups: ``(N,)``, the unit that is drawn as a whole, such as a part; None draws images.
        pixel: By the name of a pixel metric ``(S, B)``, its values in the resamples of
            :func:`benchmark.statistics.resampling.resample_counts`.

    Raises:
        ValueError: Shapes differ, a name is given twice, a label is neither 0 nor 1, or a score is NaN or infinite.
    """

    labels: np.ndarray
    scores: np.ndarray
    folds: np.ndarray
    ids: tuple[str, ...]
    groups: tuple[str, ...] | None = None
    pixel: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.ids)
        if self.labels.shape != (n,) or self.folds.shape != (n,) or self.scores.shape[1:] != (n,) or not n:
            msg = (
                f"A sample got {n} names of images, labels of shape {self.labels.shape}, folds of {self.folds.shape} "
                f"and scores of {self.scores.shape}; expected (N,), (N,) and (S, N)."
            )
            raise ValueError(msg)
        if self.groups is not None and len(self.groups) != n:
            msg = f"A sample got {n} images and {len(self.groups)} groups; give one of each an image."
            raise ValueError(msg)
        if len(set(self.ids)) != n:
            msg = f"A sample needs unique names of images, but {n - len(set(self.ids))} of {n} repeat another."
            raise ValueError(msg)
        if not ((self.labels == 0) | (self.labels == 1)).all():
            msg = f"Labels must be 0 (good) or 1 (defective), found {sorted(set(self.labels.tolist()) - {0, 1})[:5]}."
            raise ValueError(msg)
        if broken := int((~np.isfinite(self.scores)).sum()):
            msg = f"{broken} of {self.scores.size} scores are NaN or infinite; the model gives no usable scores."
            raise ValueError(msg)

    @property
    def n_seeds(self) -> int:
        """How many fits the scores are of."""
        return len(self.scores)

    @property
    def n_units(self) -> tuple[int, int]:
        """How many images, or where there are groups how many groups, are good or partly so, and defective."""
        if self.groups is None:
            return self.n_good, self.n_defective
        units = np.asarray(self.groups, dtype=str)
        return len(np.unique(units[self.labels == 0])), len(np.unique(units[self.labels == 1]))

    @property
    def n_defective(self) -> int:
        """How many images are defective."""
        return int(self.labels.sum())

    @property
    def n_good(self) -> int:
        """How many images are good."""
        return len(self.labels) - self.n_defective
