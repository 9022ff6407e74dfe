"""How sure a share of images is: exact intervals of counts."""

from __future__ import annotations

CONFIDENCE = 0.95
Interval = tuple[float, float]
"""Low and high end."""


def binomial_interval(k: float, n: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Clopper and Pearson's exact interval of a share: it holds the truth at least as often as it says.

    Clopper and Pearson 1934, https://doi.org/10.1093/biomet/26.4.404.

    Args:
        k: Of so many; a mean over seeds need not be whole, for the beta quantiles run through all numbers.
        n: Images; with none nothing is known: 0 to 1.
        confidence: Of both sides together.

    Raises:
        ValueError: ``k`` lies outside 0 to ``n``.
    """
    from scipy.stats import beta

    if not 0 <= k <= n:
        msg = f"binomial_interval got {k} of {n}; expected a count from 0 to {n}."
        raise ValueError(msg)
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, k, n - k + 1)) if k > 0 else 0.0
    high = float(beta.ppf(1 - tail, k + 1, n - k)) if k < n else 1.0
    return low, high


def none_seen_bound(n: int, *, confidence: float = CONFIDENCE) -> float:
    """The largest rate that no error in ``n`` images still allows, one-sided: with 20 images 13.9 %.

    Args:
        n: Images; with none nothing is known: 1.
        confidence: Of the one side.
    """
    return float(1 - (1 - confidence) ** (1 / n)) if n else 1.0
