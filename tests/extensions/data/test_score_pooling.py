"""An image's score from its map, in NumPy, against sorting."""

import math

import numpy as np
import pytest

from extensions.data.score_pooling import ScorePooling, pooled_score

MAP = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)


@pytest.mark.parametrize(("name", "n"), [("max", 1), ("top_1", 1), ("top_7", 7), ("top_1%", 6), ("top_12.5%", 75)])
def test_score_is_the_mean_of_the_highest_pixels(name, n):
    assert pooled_score(MAP, ScorePooling.named(name)) == pytest.approx(np.sort(MAP, axis=None)[-n:].mean())


def test_a_number_larger_than_the_map_takes_all_of_it_and_a_share_at_least_one_pixel():
    assert pooled_score(MAP, ScorePooling.named("top_601")) == pytest.approx(MAP.mean())
    assert pooled_score(MAP, ScorePooling.named("top_100%")) == pytest.approx(MAP.mean())
    assert pooled_score(MAP, ScorePooling.named("top_0.1%")) == MAP.max()


def test_only_pixels_inside_count_and_a_share_is_of_these():
    inside = np.zeros(MAP.shape, bool)
    inside[5:15, 10:20] = True
    expected = np.sort(MAP[5:15, 10:20], axis=None)[-10:].mean()
    assert pooled_score(MAP, ScorePooling.named("top_10%"), inside) == pytest.approx(expected)
    assert pooled_score(MAP, ScorePooling.named("top_10%"), np.zeros_like(inside)) == 0


def test_a_share_is_exact_where_floating_point_is_not():
    assert 0.29 * 100 < 29  # which rounded down would be 28
    assert ScorePooling.named("top_29%").n_of(100) == 29
    assert ScorePooling.named("top_1%").n_of(224 * 224) == 501


def test_nan_is_never_hidden_behind_the_highest():
    broken = MAP.copy()
    broken[0, 0] = np.nan
    assert math.isnan(pooled_score(broken, ScorePooling.named("top_2")))


@pytest.mark.parametrize(
    "name", ["", "min", "top", "top_", "top_0", "top_-1", "top_1.5", "top_0%", "top_101%", "top_1 %", "mean", 5, None]
)
def test_what_says_nothing_is_refused_with_what_would(name):
    with pytest.raises(ValueError, match=r"score_pooling is .*; expected max, top_ and a number .* top_100, .* top_1%"):
        ScorePooling.named(name)
