"""What makes one setting better than another."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from benchmark.tune.objective import TIE, Quality, mean_quality, separation


def quality(auroc: float, apart: float = 1.0, pixel: float | None = None, latency: float | None = None) -> Quality:
    return Quality(auroc, apart, pixel, latency)


def test_separation_of_normal_scores_is_that_of_their_auroc() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20_000)
    scores = rng.normal(labels * 1.5, 1 + labels * 0.7)
    assert norm.cdf(separation(labels, scores) / math.sqrt(2)) == pytest.approx(
        roc_auc_score(labels, scores), abs=0.005
    )


def test_separation_does_not_change_with_unit_and_offset_and_tells_perfect_settings_apart() -> None:
    labels, scores = np.array([0, 0, 1, 1]), np.array([1.0, 2.0, 5.0, 6.0])
    assert separation(labels, 3 * scores + 7) == pytest.approx(separation(labels, scores))
    assert separation(labels, np.array([1.0, 2.0, 9.0, 10.0])) > separation(labels, scores)
    assert separation(labels, np.ones(4)) == 0
    assert separation(labels, np.array([1.0, 1.0, 2.0, 2.0])) == math.inf


def test_image_auroc_decides_then_separation_then_pixels_then_latency() -> None:
    best_first = [
        quality(0.99, 0.1, 0.1, 900.0), quality(0.98, 2.0, 0.5, 900.0), quality(0.98, 1.0, 0.9, 900.0),
        quality(0.98, 1.0, 0.8, 10.0), quality(0.98, 1.0, 0.8, 20.0), quality(0.98, 1.0, None, 1.0),
    ]  # fmt: skip
    assert sorted([*best_first[3:], *best_first[:3]], key=lambda one: one.order) == best_first


def test_the_separation_never_outweighs_a_pair_of_images() -> None:
    pair = 1 / (50 * 100)
    assert quality(0.9 + pair, -9.0).value > quality(0.9, 9.0).value
    assert quality(1.0, 3.0).value > quality(1.0, 2.0).value
    assert math.isfinite(quality(1.0, math.inf).value)
    assert pair >= TIE * 2


def test_what_one_data_set_lacks_the_mean_lacks() -> None:
    mean = mean_quality([quality(0.8, 1.0, 0.5, 10.0), quality(1.0, 3.0, None, 30.0)])
    assert mean == Quality(pytest.approx(0.9), pytest.approx(2.0), None, pytest.approx(20.0))
