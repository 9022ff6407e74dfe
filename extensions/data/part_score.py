"""What a part scores whose images have scores of their own."""

import re
from collections.abc import Sequence

import numpy as np

WORST = "max"
"""That of its worst image: one defective image makes a part defective."""


def check_part_score(how: str) -> None:
    """Refuse a name that says nothing.

    Raises:
        ValueError: It is none of those that `part_score` takes.
    """
    if not isinstance(how, str) or (how not in (WORST, "mean") and not re.fullmatch(r"top[1-9][0-9]*", how)):
        msg = f"part_score is {how!r}; expected max, mean or top and a number, such as top3"
        raise ValueError(msg)


def part_score(scores: Sequence[float] | np.ndarray, how: str = WORST) -> float:
    """The raw score of a part, higher is more anomalous.

    Args:
        scores: Raw, of its images, one or more.
        how: `max` of them, their `mean`, or `top3`, the mean of the three highest (of all, where there are fewer);
            likewise any other number.
    """
    values = np.sort(np.asarray(scores, dtype=np.float64))
    n = {WORST: 1, "mean": len(values)}.get(how) or int(how.removeprefix("top"))
    return float(values[-n:].mean())
