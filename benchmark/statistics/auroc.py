"""AUROC of a sample, and what every image contributes to it: DeLong's variance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from benchmark.statistics.sample import Sample


@dataclass(frozen=True, kw_only=True)
class Variance:
    """A variance and how well it is known.

    Attributes:
        value: Of an AUROC, or of a difference of two.
        doubt: Sum over its independent parts of the part squared over its degrees of freedom.
    """

    value: float
    doubt: float

    @property
    def degrees_of_freedom(self) -> float:
        """Of Student's distribution, https://doi.org/10.2307/3002019 (Satterthwaite 1946); infinite without doubt."""
        return self.value**2 / self.doubt if self.doubt > 0 else float("inf")


def seed_aurocs(sample: Sample) -> np.ndarray:
    """AUROC of every seed, ``(S,)``; NaN where a class is absent."""
    return _placements(sample).mean(axis=1, where=sample.labels == 1)


def influences(sample: Sample) -> np.ndarray:
    """What each image adds to the AUROC averaged over seeds beside its expectation, ``(N,)``; they sum to 0.

    Of a defective image it is the share of the good ones below it less the AUROC, over the number of defective ones;
    of a good image likewise. The sum of their squares, each class by n / (n - 1), is DeLong's variance.
    DeLong et al. 1988, https://doi.org/10.2307/2531595.
    """
    placed = _placements(sample).mean(axis=0)
    defective = sample.labels == 1
    size = np.where(defective, sample.n_defective, sample.n_good)
    return (placed - placed.mean(where=defective)) / size


def image_variance(sample: Sample, influence: np.ndarray) -> Variance:
    """Variance over test images of what has these influences.

    With groups those of a group are summed first, and groups that hold the same labels are one stratum, as they are
    drawn (Obuchowski 1997, https://doi.org/10.2307/2533958, with strata).

    Args:
        sample: Of which the images are.
        influence: ``(N,)``, of an AUROC or of a difference of two.
    """
    parts = []
    for members, unit_of in strata(sample):
        sums = np.bincount(unit_of, weights=influence[members])
        if len(sums) > 1:
            parts.append((float(sums.var() * len(sums) * len(sums) / (len(sums) - 1)), len(sums) - 1))
    return Variance(value=sum(part for part, _ in parts), doubt=sum(part**2 / free for part, free in parts))


def mean_variance(variances: Sequence[Variance]) -> Variance:
    """Of the mean of independent numbers."""
    n = len(variances)
    return Variance(value=sum(v.value for v in variances) / n**2, doubt=sum(v.doubt for v in variances) / n**4)


def strata(sample: Sample) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each stratum its images ``(M,)`` and the unit of each, ``(M,)`` from 0 on, every unit with an image."""
    if sample.groups is None:
        classes = [np.flatnonzero(sample.labels == label) for label in (0, 1)]
        return [(members, np.arange(len(members))) for members in classes if len(members)]
    _, unit_of = np.unique(np.asarray(sample.groups, dtype=str), return_inverse=True)
    held = [np.bincount(unit_of[sample.labels == label], minlength=unit_of.max() + 1) > 0 for label in (0, 1)]
    stratum_of = (held[0] + 2 * held[1])[unit_of]
    found = []
    for stratum in np.unique(stratum_of):
        members = np.flatnonzero(stratum_of == stratum)
        found.append((members, np.unique(unit_of[members], return_inverse=True)[1]))
    return found


@lru_cache(maxsize=512)
def _placements(sample: Sample) -> np.ndarray:
    """Share of the other class on the right side of each image, a tie counting half, ``(S, N)``; kept by sample."""
    from scipy.stats import rankdata

    defective = sample.labels == 1
    placed = np.empty(sample.scores.shape)
    ranks = rankdata(sample.scores, axis=1)
    for here, n_others in ((defective, sample.n_good), (~defective, sample.n_defective)):
        others = ranks[:, here] - rankdata(sample.scores[:, here], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            placed[:, here] = others / n_others
    placed[:, ~defective] = 1 - placed[:, ~defective]
    return placed
