"""Where tiles lie, and how their maps become one."""

from __future__ import annotations

import numpy as np
import pytest

from extensions.data.tiling.grid import starts
from extensions.data.tiling.settings import Tiling
from extensions.data.tiling.stitching import Stitching

SIZES = [(64, 64), (100, 64), (64, 150), (131, 97)]


def by_hand(size, tile, overlap, maps) -> np.ndarray:
    """Pixel by pixel: the mean over the tiles that show it, weighted by how far inside it lies."""
    tops, lefts = ([*range(0, side - t, t - o), side - t] for side, t, o in zip(size, tile, overlap, strict=True))
    whole = np.zeros(size)
    for y in range(size[0]):
        for x in range(size[1]):
            total = weight = 0.0
            for number, (top, left) in enumerate((top, left) for top in tops for left in lefts):
                if top <= y < top + tile[0] and left <= x < left + tile[1]:
                    inside = [
                        min(1, (at + 1) / (o + 1), (t - at) / (o + 1))
                        for at, t, o in zip((y - top, x - left), tile, overlap, strict=True)
                    ]
                    total += inside[0] * inside[1] * maps[number][y - top, x - left]
                    weight += inside[0] * inside[1]
            whole[y, x] = total / weight
    return whole


def test_tiles_cover_a_side_and_end_where_it_does():
    for side in range(64, 200):
        for overlap in (0, 1, 20, 63):
            found = starts(side, 64, overlap)
            assert found[0] == 0
            assert found[-1] == side - 64
            steps = np.diff(found)
            assert (steps > 0).all()
            assert (steps <= 64 - overlap).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("overlap", [(0, 0), (16, 8), (50, 3)])
def test_stitched_map_is_that_of_a_slow_loop(size, overlap):
    tiling = Tiling((64, 64), overlap)
    grid = tiling.grid(size)
    maps = np.random.default_rng(0).normal(size=(len(grid), 64, 64)).astype(np.float32)
    scores = maps.max(axis=(1, 2))
    stitching = Stitching(grid)
    for first in range(0, len(grid), 2):
        some = range(first, min(first + 2, len(scores)))
        stitching.add(some, scores[first : first + 2], maps[first : first + 2])
    np.testing.assert_allclose(stitching.anomaly_map, by_hand(size, (64, 64), overlap, maps), atol=1e-5)
    assert stitching.score == pytest.approx(scores.max())


@pytest.mark.parametrize("size", SIZES)
def test_cut_and_stitched_an_image_is_what_it_was(size):
    grid = Tiling((64, 64), (16, 16)).grid(size)
    image = np.random.default_rng(0).normal(size=size).astype(np.float32)
    stitching = Stitching(grid)
    for index in range(len(grid)):
        stitching.add([index], np.zeros(1), image[grid.box(index)][None])
    np.testing.assert_allclose(stitching.anomaly_map, image, atol=1e-6)


def test_blended_map_has_no_step_where_a_tile_ends():
    grid = Tiling((64, 64), (16, 16)).grid((64, 112))
    stitching = Stitching(grid)
    for index in range(len(grid)):
        stitching.add([index], np.zeros(1), np.full((1, 64, 64), index, np.float32))
    assert np.abs(np.diff(stitching.anomaly_map, axis=1)).max() < 2 / 16


def test_maps_of_another_size_are_enlarged_to_the_tile():
    stitching = Stitching(Tiling((64, 64), (0, 0)).grid((64, 128)))
    stitching.add([0, 1], np.zeros(2), np.stack([np.full((16, 16), 1), np.full((16, 16), 2)]).astype(np.float32))
    np.testing.assert_array_equal(stitching.anomaly_map[:, 64:], 2)


def test_one_score_that_is_not_a_number_is_not_lost():
    stitching = Stitching(Tiling((64, 64), (0, 0)).grid((64, 192)))
    stitching.add([0, 1], np.array([1.0, np.nan]), None)
    stitching.add([2], np.array([3.0]), None)
    assert np.isnan(stitching.score)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tile": 0}, "tiling.tile is 0; expected px, 1 or more"),
        ({"tile": 64.5}, "tiling.tile is 64.5; expected px"),
        ({"tile": [64, 64, 3]}, "tiling.tile is"),
        ({"overlap": 8}, "tiling has no tile"),
        (
            {"tile": 64, "overlap": 64},
            "tiling.overlap is 64 x 64 px and tiling.tile 64 x 64; expected an overlap smaller",
        ),
        ({"tile": 64, "overlap": -1}, "tiling.overlap is -1; expected px, 0 or more"),
        ({"tile": 64, "overlap": 8, "resize": 48}, "tiling.resize is 48 x 48 px and tiling.tile 64 x 64; expected"),
        ({"tile": 64, "overlaps": 8}, "unknown key 'tiling.overlaps'"),
        (256, "tiling is 256; expected its settings"),
    ],
)
def test_wrong_settings_are_refused_in_a_sentence(given, said):
    with pytest.raises(ValueError, match="^" + said.replace("[", r"\[").replace(".", r"\.")) as raised:
        Tiling.from_settings(given)
    assert "\n" not in str(raised.value)


def test_settings_are_one_number_or_height_and_width_and_survive_storing():
    tiling = Tiling.from_settings({"tile": [64, 48], "overlap": 8, "resize": [128, 96]})
    assert tiling == Tiling((64, 48), (8, 8), (128, 96))
    assert Tiling.of(tiling.stored()) == tiling
    assert Tiling.from_settings({"tile": 64}) == Tiling((64, 64), (32, 32))
    with pytest.raises(
        ValueError, match=r"the image is 100 x 40 px .*, smaller than a tile of 64 x 64: make tiling.tile"
    ):
        Tiling((64, 64)).grid((100, 40))
