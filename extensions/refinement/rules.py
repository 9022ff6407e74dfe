"""Removal rules: which of the scored images go this round."""

import math
from collections.abc import Callable

import numpy as np

from extensions.configuration.checked_values import check_values, is_whole

FLOOR = 0.8  # share of the images before the first round that is always kept
MAD_TO_SIGMA = 1.4826  # of a normal distribution


def fixed_count(scores: np.ndarray, *, n_start: int, floor: float = FLOOR, count: int = 10) -> np.ndarray:
    """The `count` highest scores.

    Args:
        scores: (N,) of the images still kept, higher is removed first.
        n_start: Images before the first round.
        floor: Share of `n_start` that is always kept.
        count: Images to remove.

    Returns:
        Indices into `scores`, worst first; equal scores in the order given.

    Raises:
        ValueError: A score is not finite, or an argument is out of its range.
    """
    check_values(count=(count, is_whole(count, 0), "a whole number of images a round, 0 or more"))
    return _worst(scores, count, n_start=n_start, floor=floor)


def fixed_share(scores: np.ndarray, *, n_start: int, floor: float = FLOOR, share: float = 0.05) -> np.ndarray:
    """The highest scores, `share` of the images still kept, at least one; for the rest see `fixed_count`."""
    check_values(share=(share, 0 < share < 1, "a number above 0 and below 1"))
    return _worst(scores, max(1, round(share * len(scores))), n_start=n_start, floor=floor)


def mad(scores: np.ndarray, *, n_start: int, floor: float = FLOOR, t: float = 3.3) -> np.ndarray:
    """What stands out: the scores above median + t · 1.4826 · MAD, where the MAD is that of the upper half.

    The rule of Hampel, "The Influence Curve and its Role in Robust Estimation", 1974,
    https://doi.org/10.1080/01621459.1974.10482962, with the median absolute deviation of the scores above the median
    only: distances are skewed to the right, and a scale taken from both sides would call their tail suspicious. Median
    and MAD are taken again of the scores below, until none is above: many defects widen the scale that would tell them.
    The default t, in standard deviations of a normal distribution of the same spread, was chosen on clean and
    contaminated images of bottle and ELPV. For the other arguments, the result and errors see `fixed_count`.
    """
    check_values(t=(t, t > 0, "a number above 0, such as 3.3"))
    scores = np.asarray(scores, np.float64)
    n_above = int((scores > mad_threshold(scores, t)).sum()) if len(scores) > 2 and np.isfinite(scores).all() else 0
    return _worst(scores, n_above, n_start=n_start, floor=floor)


def mad_threshold(scores: np.ndarray, t: float) -> float:
    """The score above which `mad` removes; where most scores are equal the mean deviation takes the median's place."""
    left = np.sort(scores)
    while True:
        median = float(np.median(left))
        above = left[left >= median] - median
        spread = MAD_TO_SIGMA * float(np.median(above))
        if spread == 0:
            spread = 1.2533 * float(above.mean())  # sqrt(pi / 2): as MAD_TO_SIGMA for the mean
        threshold = median + t * spread
        n_left = int(np.searchsorted(left, threshold, side="right"))
        if n_left == len(left):
            return threshold
        left = left[:n_left]


def _worst(scores: np.ndarray, n_wanted: int, *, n_start: int, floor: float) -> np.ndarray:
    """Indices of the highest scores, no more than the floor allows."""
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 1 or not np.isfinite(scores).all():
        msg = f"scores are of shape {scores.shape}, or not all finite; expected one finite number for each image"
        raise ValueError(msg)
    check_values(floor=(floor, 0 <= floor <= 1, "a share from 0 to 1 of the images before the first round"))
    if n_start < len(scores):
        msg = f"n_start is {n_start}, fewer than the {len(scores)} scores; expected the images before the first round"
        raise ValueError(msg)
    n_kept = math.ceil(floor * n_start - 1e-9)  # 0.8 of 10 is 8, whatever binary fractions make of it
    return np.argsort(-scores, kind="stable")[: max(0, min(n_wanted, len(scores) - n_kept))]


Rule = Callable[..., np.ndarray]
RULES: dict[str, Rule] = {"fixed_count": fixed_count, "fixed_share": fixed_share, "mad": mad}
