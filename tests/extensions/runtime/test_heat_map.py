import numpy as np

from extensions.runtime.heat_map import heat_colors, heat_map


def test_what_is_low_is_blue_and_what_is_high_is_red_also_outside_the_range():
    cold, low, high, hot = heat_map(np.array([[-9.0, 1.0, 3.0, 99.0]]), (1.0, 3.0))[0].astype(int)
    assert (cold == low).all() and (high == hot).all()
    assert low[2] > low[0] and high[0] > high[2]
    assert heat_map(np.full((2, 3), 7.0), (7.0, 7.0)).shape == (2, 3, 3)  # a range of nothing divides by nothing


def test_neighboring_colors_differ_little_so_that_no_band_looks_like_an_edge():
    assert np.abs(np.diff(heat_colors().astype(int), axis=0)).max() <= 10
