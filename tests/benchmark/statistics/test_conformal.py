"""Thresholds by rank keep their rate, with ties and with few images."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.statistics.conformal import above, above_good, below, below_defective, smallest_rate


@pytest.mark.parametrize(("n", "rate"), [(40, 0.05), (99, 0.01), (49, 0.02), (60, 0.1), (7, 0.3)])
def test_the_threshold_lies_just_above_numpys_conformal_quantile(n: int, rate: float) -> None:
    good = np.random.default_rng(n).normal(size=n)

    bound = above_good(good, rate, scores=good)

    level = np.ceil((n + 1) * (1 - rate) - 1e-9) / n
    quantile = np.quantile(good, level, method="inverted_cdf")
    assert bound.supported
    assert bound.threshold > quantile
    assert not ((good > quantile) & (good < bound.threshold)).any()


@pytest.mark.parametrize(("n", "rate", "supported"), [(40, 0.02, False), (49, 0.02, True), (98, 0.01, False)])
def test_too_few_good_images_support_no_small_rate(n: int, rate: float, supported: bool) -> None:
    good = np.arange(n, dtype=float)

    bound = above_good(good, rate, scores=good)

    assert bound.supported == supported == (smallest_rate(n) <= rate)
    assert bound.threshold > good.max()


def test_a_missed_rate_is_that_of_false_alarms_in_the_mirror() -> None:
    scores = np.random.default_rng(3).normal(size=30)

    for rate in (0.0, 0.1, 0.25):
        mirrored = above_good(-scores, rate, scores=-scores)
        assert below_defective(scores, rate, scores=scores).threshold == pytest.approx(-mirrored.threshold)
        assert below_defective(scores, rate, scores=scores).supported == mirrored.supported


@pytest.mark.parametrize("values", [[1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0]])
def test_ties_break_no_promise(values: list[float]) -> None:
    scores = np.array(values)

    assert (scores < above_good(scores, 0.25, scores=scores).threshold).all()
    assert (scores[scores >= 1] >= below_defective(scores, 0.5, scores=scores).threshold).all()


def test_a_rate_of_one_calls_everything_wrong() -> None:
    scores = np.array([1.0, 2.0])

    assert above_good(scores, 1.0, scores=scores).threshold < 1
    assert below_defective(scores, 1.0, scores=scores).threshold > 2


def test_the_promise_holds_on_average_over_draws() -> None:
    rng = np.random.default_rng(0)
    calibration, new = rng.lognormal(size=(4000, 24)), rng.lognormal(size=(4000, 1))
    thresholds = np.array([above_good(row, 0.12, scores=row).threshold for row in calibration])

    rate = (new[:, 0] >= thresholds).mean()

    assert 0.12 - 0.04 - 0.015 < rate <= 0.12 + 0.015  # at least 0.12 less 1 / 25, and the noise of 4,000 draws


def test_a_threshold_between_neighboring_floats_stays_on_its_side() -> None:
    low = 1.0
    high = np.nextafter(low, 2)
    scores = np.array([low, high])

    assert low < above(low, scores) <= high
    assert low < below(high, scores) <= high
