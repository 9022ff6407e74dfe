import pytest
from statsmodels.stats.proportion import proportion_confint

from benchmark.statistics.rates import binomial_interval, none_seen_bound


@pytest.mark.parametrize(("k", "n"), [(0, 20), (3, 20), (20, 20), (1, 300), (7, 8)])
@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_binomial_interval_is_that_of_statsmodels(k, n, confidence):
    expected = proportion_confint(k, n, alpha=1 - confidence, method="beta")
    assert binomial_interval(k, n, confidence=confidence) == pytest.approx(expected)


def test_mean_count_over_seeds_lies_between_whole_counts():
    lows = [binomial_interval(k, 20)[0] for k in (2, 2.5, 3)]
    assert lows == sorted(lows)


def test_without_images_nothing_is_known():
    assert binomial_interval(0, 0) == (0.0, 1.0)
    assert none_seen_bound(0) == 1.0


def test_no_error_in_twenty_images_allows_fourteen_percent():
    assert none_seen_bound(20) == pytest.approx(0.139, abs=5e-4)
    assert (1 - none_seen_bound(20)) ** 20 == pytest.approx(0.05)


def test_more_errors_than_images_are_refused():
    with pytest.raises(ValueError, match="got 5 of 4"):
        binomial_interval(5, 4)
