"""By how much the best trial is above the default, and whether that is more than chance: pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmark.statistics.auroc import Variance, image_variance, influences, mean_variance, seed_aurocs
from benchmark.statistics.sample import Sample
from benchmark.tune.objective import separation

NOTHING = 1e-9
"""A rounding error apart is not apart."""


@dataclass(frozen=True)
class Lead:
    """A setting less the default, judged on the same images; of several data sets the mean.

    The rule of one standard error (Breiman, Friedman, Olshen and Stone 1984, Classification and Regression Trees,
    section 3.4.3, https://doi.org/10.1201/9781315139470): of two settings that the images hardly tell apart take the
    simpler one, which here is the default. The best of many trials on few images is above the default by chance alone.
    Differs from them: the error is that of the paired difference, not that of the best setting by itself.

    Attributes:
        image_AUROC: The difference; higher is better for the setting.
        standard_error: Of this difference, over images; infinite where a class has a single image.
        separation: The difference of the separations, see `benchmark.tune.objective.separation`.
        separation_error: Its standard error.
    """

    image_AUROC: float  # noqa: N815 - the column's name
    standard_error: float
    separation: float
    separation_error: float

    @property
    def by_separation(self) -> bool:
        """Whether every image has the same rank under both, such as under two of 1.000: only the separation differs."""
        return abs(self.image_AUROC) < NOTHING and self.standard_error < NOTHING

    @property
    def is_enough(self) -> bool:
        """Whether the setting takes the place of the default: it is above by more than one standard error."""
        if self.by_separation:
            return self.separation > self.separation_error
        return self.image_AUROC > self.standard_error

    @property
    def told(self) -> str:
        """For a person."""
        if math.isinf(self.standard_error):
            return (
                f"the best trial is {self.image_AUROC:.4f} above, but a single image of a class gives no standard error"
            )
        if self.by_separation:
            return (
                f"the best trial ranks every image as the default does; its separation is {self.separation:.2f} above, "
                f"one standard error is {self.separation_error:.2f}"
            )
        return f"the best trial is {self.image_AUROC:.4f} above, one standard error is {self.standard_error:.4f}"


def lead_of(setting: Sequence[Sample], default: Sequence[Sample]) -> Lead:
    """Compare two settings, image by image.

    The standard error of the image AUROC is DeLong's for paired curves (DeLong et al. 1988,
    https://doi.org/10.2307/2531595), that of the separation the same of its influence function. Images are counted as
    independent, those of one part, too.

    Args:
        setting: Of each data set the images and their scores.
        default: The same data sets in the same order, the same images.

    Raises:
        ValueError: The images differ, or their labels.
    """
    pairs = list(zip(setting, default, strict=True))
    for one, other in pairs:
        if one.ids != other.ids or (one.labels != other.labels).any():
            msg = "the two settings were not judged by the same images"
            raise ValueError(msg)
    aurocs = [float(seed_aurocs(one)[0] - seed_aurocs(other)[0]) for one, other in pairs]
    apart = [_separation(one) - _separation(other) for one, other in pairs]
    with np.errstate(invalid="ignore"):
        return Lead(
            float(np.mean(aurocs)),
            _error(pairs, [influences(one) - influences(other) for one, other in pairs]),
            float(np.mean(apart)),
            _error(pairs, [separation_influences(one) - separation_influences(other) for one, other in pairs]),
        )


def sample_of(scores: pd.DataFrame) -> Sample:
    """The images of one data set in the order of their names.

    Args:
        scores: Columns image, label (1 for bad) and score (higher is more anomalous).

    Raises:
        ValueError: An image is there twice, a label is neither 0 nor 1, or a score is NaN or infinite.
    """
    rows = scores.sort_values("image")
    return Sample(
        labels=rows["label"].to_numpy(int),
        scores=rows["score"].to_numpy(float)[None],
        folds=np.zeros(len(rows), int),
        ids=tuple(rows["image"].astype(str)),
    )


def separation_influences(sample: Sample) -> np.ndarray:
    """What each image adds to the separation beside its expectation, ``(N,)``; NaN where the scores have no spread.

    The derivative of `d_a` by the weight of an image (influence function, Hampel 1974,
    https://doi.org/10.2307/2285666), over the number of images of its class; they sum to 0.
    """
    scores, is_bad = sample.scores[0], sample.labels == 1
    found = np.empty(len(scores))
    apart = _separation(sample)
    spread = (scores[is_bad].var() + scores[~is_bad].var()) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        for members, sign in ((is_bad, 1), (~is_bad, -1)):
            off = scores[members] - scores[members].mean()
            change = sign * off / np.sqrt(spread) - apart * (off**2 - off.var()) / (4 * spread)
            found[members] = change / len(off)
    return found


def _separation(sample: Sample) -> float:
    return separation(sample.labels, sample.scores[0])


def _error(pairs: Sequence[tuple[Sample, Sample]], differences: Sequence[np.ndarray]) -> float:
    """Standard error of a mean over data sets."""
    if any(min(one.n_good, one.n_defective) < 2 for one, _ in pairs):
        return math.inf
    parts: list[Variance] = [image_variance(one, found) for (one, _), found in zip(pairs, differences, strict=True)]
    return math.sqrt(mean_variance(parts).value)
