import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from scipy.stats import friedmanchisquare, wilcoxon

from benchmark.statistics.many_categories import OverallRanking, critical_difference, overall_ranking, signed_rank_p


def made_values(*, n: int, spread: float = 0.02) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    steps = {"worst": 0.80, "best": 0.92, "near": 0.915, "middle": 0.86}
    return pd.DataFrame({name: mean + spread * rng.normal(size=n) for name, mean in steps.items()})


def ranked(values: pd.DataFrame) -> OverallRanking:
    found = overall_ranking(values)
    assert isinstance(found, OverallRanking)
    return found


def test_average_ranks_put_the_best_first():
    values = made_values(n=10)
    found = ranked(values)
    expected = (-values).rank(axis=1).mean()
    assert found.detectors[-1] == "worst"
    assert list(found.average_ranks) == pytest.approx([expected[name] for name in found.detectors])
    assert list(found.average_ranks) == sorted(found.average_ranks)


@pytest.mark.parametrize("spread", [0.02, 0.08])
def test_critical_difference_tells_apart_what_scikit_posthocs_does(spread):
    values = made_values(n=12, spread=spread)
    found = ranked(values)
    p = scikit_posthocs.posthoc_nemenyi_friedman(values)
    ranks = dict(zip(found.detectors, found.average_ranks, strict=True))
    assert found.critical_difference is not None
    for first in ranks:
        for second in set(ranks) - {first}:
            apart = abs(ranks[first] - ranks[second]) > found.critical_difference
            assert apart == (p.loc[first, second] < 0.05)


def test_critical_difference_is_that_of_the_published_table():
    # Demsar 2006, table 5: q of 4 classifiers is 2.569
    assert critical_difference(n_detectors=4, n_categories=14) == pytest.approx(2.569 * np.sqrt(20 / 84), abs=1e-3)


def test_friedman_is_less_timid_with_iman_and_davenport():
    values = made_values(n=8, spread=0.08)
    p = ranked(values).friedman_p
    assert p is not None
    assert p < friedmanchisquare(*values.to_numpy().T).pvalue


def test_pairs_are_wilcoxon_with_holm():
    values = made_values(n=10)
    pairs = ranked(values).pairs.set_index(["first", "second"])
    first, second = pairs.index[0]
    assert len(pairs) == 6
    assert pairs.loc[(first, second), "p"] == pytest.approx(wilcoxon(values[first], values[second]).pvalue)
    assert (pairs["p_adjusted"] >= pairs["p"]).all()


def test_groups_are_neighbors_within_the_critical_difference():
    found = ranked(made_values(n=30))
    assert set(found.groups[0]) == {"best", "near"}
    assert all("worst" not in group for group in found.groups)


def test_without_any_difference_all_are_one_group():
    values = pd.DataFrame(np.full((8, 3), 0.9), columns=list("abc"))
    found = ranked(values)
    assert found.friedman_p == 1
    assert found.groups == (("a", "b", "c"),)
    assert (found.pairs["told_apart"] == "no").all()


def test_detector_that_wins_everywhere_is_told_apart():
    values = pd.DataFrame({"a": np.arange(9) + 0.3, "b": np.arange(9) + 0.2, "c": np.arange(9) + 0.1})
    found = ranked(values)
    assert found.friedman_p == 0
    assert ("a", "b", "c") not in found.groups


def test_two_detectors_are_compared_by_wilcoxon_alone():
    found = ranked(made_values(n=9)[["best", "worst"]])
    assert (found.friedman_p, found.critical_difference) == (None, None)
    assert found.pairs["told_apart"].tolist() == ["yes"]
    assert found.groups == ()


def test_few_categories_get_a_reason():
    values = made_values(n=8)
    values.iloc[:3, 0] = np.nan
    assert overall_ranking(values) == (
        "No ranking over categories: 5 categories with a value of every detector; "
        "fewer than 6 cannot show a difference of ranks at 95 %."
    )
    assert "1 detector" in str(overall_ranking(made_values(n=8)[["best"]]))


@pytest.mark.parametrize("n", [1, 2, 6, 9])
def test_signed_ranks_with_ties_and_zeros_are_those_of_scipy(n):
    rng = np.random.default_rng(n)
    for _ in range(4):
        differences = rng.integers(-3, 4, n) / 8
        differences[0] = 0.25
        assert signed_rank_p(differences) == pytest.approx(wilcoxon(differences).pvalue, abs=1e-12)


def test_more_values_with_ties_take_the_approximation_of_scipy():
    differences = np.random.default_rng(0).integers(-3, 6, 20) / 8
    assert signed_rank_p(differences) == wilcoxon(differences).pvalue
