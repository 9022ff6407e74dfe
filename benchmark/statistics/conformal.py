"""Thresholds that keep a rate of errors on new images, by the rank of the scores they were fitted on.

Split-conformal prediction: where the scores of n images and that of a new one are exchangeable, each of the n + 1 ranks
of the new score is equally likely, whatever the detector and whatever the distribution. Vovk, Gammerman, Shafer (2005),
Algorithmic Learning in a Random World, https://doi.org/10.1007/b106715; Papadopoulos, Proedrou, Vovk, Gammerman (2002),
Inductive Confidence Machines for Regression, https://doi.org/10.1007/3-540-36755-1_29; Lei, G'Sell, Rinaldo,
Tibshirani, Wasserman (2018), Distribution-Free Predictive Inference for Regression,
https://doi.org/10.1080/01621459.2017.1307116.

The promise is marginal: on average over the images it was fitted on. One set of them may be luckier than another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

HEADROOM = 1e-3
"""Where no score lies beyond a threshold: so much of the range of scores it stands off the last one. The scores of an
exported network differ by 1e-5 of that range."""
_ROUNDING = 1e-9  # (n + 1) * (1 - rate) is a whole number more often than floats know


@dataclass(frozen=True)
class Bound:
    """A threshold on one kind of image.

    Attributes:
        threshold: Of raw scores.
        n: Images of the kind that it was fitted on.
        supported: Whether so many images support the rate; where not, the threshold has all of them on its right side.
    """

    threshold: float
    n: int
    supported: bool


def smallest_rate(n: int) -> float:
    """The smallest rate of errors that n images support: 1 / (n + 1)."""
    return 1 / (n + 1)


def above_good(good: np.ndarray, rate: float, *, scores: np.ndarray) -> Bound:
    """The lowest threshold that calls at most a rate of good images defective.

    It lies above the k-th smallest good score, k = ceil((n + 1)(1 - rate)), halfway to the next higher of all scores;
    a new good image reaches it with a probability of at most `rate`. Where k > n the rate is not supported, and the
    threshold lies above all good scores.

    Args:
        good: ``(n,)`` raw scores of good images, n >= 1; higher is more anomalous.
        rate: From 0 to 1.
        scores: All scores at hand, of good and defective images, to find room between them.
    """
    n = len(good)
    k = math.ceil((n + 1) * (1 - rate) - _ROUNDING)
    if k < 1:
        return Bound(below(float(scores.min()), scores), n, supported=True)
    return Bound(above(float(np.sort(good)[min(k, n) - 1]), scores), n, supported=k <= n)


def below_defective(defective: np.ndarray, rate: float, *, scores: np.ndarray) -> Bound:
    """The highest threshold that calls at most a rate of defective images good.

    It lies below the j-th smallest defective score, j = floor((n + 1) rate), halfway to the next lower of all scores; a
    new defective image falls short of it with a probability of at most `rate`. Where j = 0 the rate is not supported,
    and the threshold lies below all defective scores.

    Args:
        defective: ``(n,)`` raw scores of defective images, n >= 1; higher is more anomalous.
        rate: From 0 to 1.
        scores: As for `above_good`.
    """
    n = len(defective)
    j = math.floor((n + 1) * rate + _ROUNDING)
    if j > n:
        return Bound(above(float(scores.max()), scores), n, supported=True)
    return Bound(below(float(np.sort(defective)[max(j, 1) - 1]), scores), n, supported=j >= 1)


def above(score: float, scores: np.ndarray) -> float:
    """A threshold that does not accept `score` and accepts the next higher one: halfway, or a little higher."""
    higher = scores[scores > score]
    if not len(higher):
        return max(score + HEADROOM * float(np.ptp(scores)), math.nextafter(score, math.inf))
    following = float(higher.min())
    middle = score / 2 + following / 2
    return middle if middle > score else following  # neighboring floats have no middle


def below(score: float, scores: np.ndarray) -> float:
    """A threshold that accepts `score` and not the next lower one: halfway, or a little lower."""
    lower = scores[scores < score]
    if not len(lower):
        return score - HEADROOM * float(np.ptp(scores))
    previous = float(lower.max())
    middle = previous / 2 + score / 2
    return middle if middle > previous else score
