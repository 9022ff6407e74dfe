import dataclasses

import numpy as np
import pytest
from scipy.stats import norm

from benchmark.statistics.rates import binomial_interval
from benchmark.statistics.roc_points import fpr_interval, mean_interval, recall_interval
from tests.benchmark.statistics.fabricated_samples import made_sample


def test_recall_of_a_detector_that_is_known_is_held():
    truth = norm.sf(norm.ppf(0.95) - 2)  # of good scores 5 % lie above
    held = 0
    for seed in range(40):
        low, high = recall_interval(made_sample(n_good=200, n_defective=100, shift=2, seed=seed, noise=0), fpr=0.05)
        held += low <= truth <= high
        assert high - low < 0.6
    assert held >= 38


def test_bounds_are_ranks_of_good_scores_and_shares_of_defective_ones():
    sample = made_sample(n_good=100, n_defective=30)
    scores = np.append(np.arange(100.0), 89.5 + np.zeros(15))
    scores = np.append(scores, np.zeros(15))[None]
    low, high = recall_interval(dataclasses.replace(sample, scores=scores), fpr=0.1)
    # Between 5 and 16 of 100 good scores may lie above the threshold (binomial, 2.5 % on each side): the strictest
    # threshold 95 has no defective image above it, ten are allowed and 89 has fifteen, the loosest 83 none more.
    assert low == 0
    assert high == pytest.approx(binomial_interval(15, 30)[1])


def test_turned_round_the_false_positive_rate_is_a_recall():
    sample = made_sample(n_good=40, n_defective=70)
    mirrored = dataclasses.replace(sample, labels=1 - sample.labels, scores=-sample.scores)
    low, high = fpr_interval(sample, recall=0.95)
    assert (1 - high, 1 - low) == pytest.approx(recall_interval(mirrored, fpr=0.05))


def test_no_number_of_defective_images_shows_the_faintest():
    assert fpr_interval(made_sample(n_good=50, n_defective=500, shift=9), recall=1.0)[1] == 1


def test_mean_of_alike_intervals_narrows_with_the_root_of_their_number():
    low, high = mean_interval([0.5] * 4, [(0.3, 0.6)] * 4)
    assert (low, high) == pytest.approx((0.4, 0.55))
