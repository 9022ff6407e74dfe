"""Which detectors are better over many categories: average ranks, and which of them cannot be told apart."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from benchmark.statistics.comparison import holm
from benchmark.statistics.rates import CONFIDENCE

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 6
"""Categories: with five no order of two detectors, however clear, reaches p < 0.05 in Wilcoxon's test."""

MOST_SIGNS = 13
"""Values: up to here scipy, too, takes all 2^13 signs; of more, with ties, its normal approximation is taken."""


@dataclass(frozen=True, kw_only=True)
class OverallRanking:
    """Detectors over many categories, the best first.

    Attributes:
        detectors: K names.
        average_ranks: Over categories, 1 is best; ties share the mean of their ranks.
        n_categories: In which every detector has a value.
        friedman_p: That all are alike, by Iman and Davenport's F; None with two detectors.
        critical_difference: Average ranks further apart than this differ, by Nemenyi's test; None with two detectors.
        pairs: A row a pair: first, second, p (Wilcoxon's signed ranks), p_adjusted (Holm), told_apart ("yes"/"no").
        groups: Neighbors that are not told apart, as long as can be; the bars of a critical-difference diagram.
    """

    detectors: tuple[str, ...]
    average_ranks: tuple[float, ...]
    n_categories: int
    friedman_p: float | None
    critical_difference: float | None
    pairs: pd.DataFrame
    groups: tuple[tuple[str, ...], ...]


def overall_ranking(values: pd.DataFrame) -> OverallRanking | str:
    """Rank detectors within each category and compare their average ranks.

    Demsar 2006, https://www.jmlr.org/papers/v7/demsar06a.html: Friedman's test with Iman and Davenport's correction,
    Nemenyi's critical difference, Wilcoxon's signed ranks with Holm's correction. Where Friedman's test finds no
    difference, all detectors are one group.

    Args:
        values: A row a category, a column a detector, higher is better. Rows with a missing value are left out.

    Returns:
        A sentence that says why there is none, with fewer than six categories or fewer than two detectors.
    """
    held = values.dropna()
    n, k = held.shape
    if k < 2:
        return f"No ranking over categories: {k} detector; a comparison needs at least two."
    if n < FEWEST:
        return (
            f"No ranking over categories: {n} {'category' if n == 1 else 'categories'} with a value of every detector; "
            f"fewer than {FEWEST} cannot show a difference of ranks at 95 %."
        )
    ranks = held.rank(axis=1, ascending=False).mean().sort_values(kind="stable")
    names = [str(name) for name in ranks.index]
    held = held[ranks.index].set_axis(names, axis=1)
    pairs = _pairs(held)
    friedman_p = _iman_davenport_p(held) if k > 2 else None
    difference = critical_difference(n_detectors=k, n_categories=n) if k > 2 else None
    if difference is None:
        groups = [names] if pairs["told_apart"].iloc[0] == "no" else []
    elif friedman_p is not None and friedman_p >= 1 - CONFIDENCE:
        groups = [names]
    else:
        groups = _groups(names, ranks.to_numpy(), difference)
    return OverallRanking(
        detectors=tuple(names),
        average_ranks=tuple(ranks.tolist()),
        n_categories=n,
        friedman_p=friedman_p,
        critical_difference=difference,
        pairs=pairs,
        groups=tuple(tuple(group) for group in groups),
    )


def critical_difference(*, n_detectors: int, n_categories: int) -> float:
    """Least difference of two average ranks that Nemenyi's test tells apart with 95 % confidence.

    Args:
        n_detectors: At least 2.
        n_categories: At least 1.
    """
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(CONFIDENCE, n_detectors, np.inf)) / np.sqrt(2)
    return float(quantile * np.sqrt(n_detectors * (n_detectors + 1) / (6 * n_categories)))


def _iman_davenport_p(values: pd.DataFrame) -> float:
    """Friedman's statistic as F, which is less timid: Iman and Davenport 1980, https://doi.org/10.1080/03610928008827904."""
    from scipy.stats import f, friedmanchisquare

    n, k = values.shape
    with np.errstate(invalid="ignore"):
        statistic = friedmanchisquare(*values.to_numpy().T).statistic
    if np.isnan(statistic):  # every category has one value for all detectors
        return 1.0
    left = n * (k - 1) - statistic
    return float(f.sf((n - 1) * statistic / left, k - 1, (k - 1) * (n - 1))) if left > 1e-9 else 0.0


def signed_rank_p(differences: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test, that of `scipy.stats.wilcoxon`.

    Where few values have ties or zeros scipy goes through all signs one at a time, which takes a second and more for a
    pair of detectors. Here they are one product of matrices.

    Args:
        differences: N values, not all of them 0.
    """
    from scipy.stats import rankdata, wilcoxon

    held = differences[differences != 0]
    ranks = rankdata(np.abs(held))
    if len(differences) > MOST_SIGNS or len(np.unique(ranks)) == len(differences):
        return float(wilcoxon(differences).pvalue)
    signs = np.arange(2 ** len(held))[:, None] >> np.arange(len(held)) & 1
    sums = signs @ ranks  # halves of whole numbers, so exact
    seen = ranks[held > 0].sum()
    return float(min(1.0, 2 * min((sums <= seen).mean(), (sums >= seen).mean())))


def _pairs(values: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    found = []
    for first, second in combinations(values.columns, 2):
        alike = np.allclose(values[first], values[second], rtol=0, atol=1e-12)
        found.append((first, second, 1.0 if alike else signed_rank_p((values[first] - values[second]).to_numpy())))
    table = pd.DataFrame(found, columns=["first", "second", "p"])
    table["p_adjusted"] = holm(table["p"].tolist())
    table["told_apart"] = np.where(table["p_adjusted"] < 1 - CONFIDENCE, "yes", "no")
    return table


def _groups(names: list[str], ranks: np.ndarray, difference: float) -> list[list[str]]:
    """Runs of neighbors within the difference that no longer run holds, each of at least two."""
    found: list[list[str]] = []
    reached = 0
    for start in range(len(names)):
        end = int(np.searchsorted(ranks, ranks[start] + difference, side="right"))
        if end > max(reached, start + 1):
            found.append(names[start:end])
            reached = end
    return found
