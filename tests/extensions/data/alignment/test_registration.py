"""Turns and shifts are found again, images come to one place, maps go back to theirs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from extensions.data.alignment.alignment import Alignment
from extensions.data.alignment.registration import Lie, lie_of, prepared, scaled, working_size
from extensions.data.alignment.template import least_correlation, make_template, of_levels
from extensions.data.imaging import Imaging
from extensions.data.straightening import aligned, lie_in, turned_back
from extensions.data.value_range import ValueRange
from tests.turned_plates import SIDE, moved, plate

SIZE = working_size((SIDE, SIDE))


@pytest.fixture
def template() -> Alignment:
    return Alignment(cv2.resize(plate(np.random.default_rng(1))[..., 0], SIZE[::-1]), 0.5)


def off(one: float, other: float) -> float:
    return abs((one - other + 180) % 360 - 180)


@pytest.mark.parametrize("angle", [0, 3, -20, 90, 135, 180, -77])
def test_a_known_turn_and_shift_is_found(template, angle):
    image = moved(plate(np.random.default_rng(2)), angle, (6, -4))
    lie = template.lie(image[..., 0])
    assert off(lie.turn, -angle) < 0.5  # OpenCV turns against the clock, where y points down
    matrix = cv2.getRotationMatrix2D(((SIDE - 1) / 2,) * 2, angle, 1.0)
    matrix[:, 2] += (6, -4)
    found = scaled(lie.matrix, SIDE / SIZE[1], SIDE / SIZE[0])
    corners = np.array([[30, 38, 1], [66, 54, 1], [48, 48, 1]]).T
    assert np.abs(found @ corners - matrix @ corners).max() < 0.5  # px
    assert lie.correlation > 0.95
    assert template.is_met(lie)


def test_an_aligned_image_is_the_upright_one_and_its_map_goes_back(template):
    imaging = Imaging(alignment=template)
    upright = plate(np.random.default_rng(2))
    image = moved(upright, 130, (5, 3))
    lie = lie_in(image, imaging)
    inside = np.s_[20:76, 20:76]
    before, after = (
        np.abs(one[inside].astype(int) - upright[inside]).mean() for one in (image, aligned(image, imaging, lie))
    )
    assert after < 8 < 30 < before
    heat = np.zeros((SIDE // 2, SIDE // 2), np.float32)
    heat[20:25, 20:25] = 1.0
    expected = moved(cv2.resize(heat, (SIDE, SIDE)), 130, (5, 3), nearest=True)
    found = cv2.resize(turned_back(heat, imaging, lie), (SIDE, SIDE))
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.95


def test_what_the_aligned_image_does_not_show_has_the_lowest_value_of_the_map(template):
    heat = np.full((48, 48), 3.0, np.float32)
    heat[0, 0] = 2.0
    found = turned_back(heat, Imaging(alignment=template), Lie(np.array([[1.0, 0, 64], [0, 1, 0]]), 1.0))
    assert (found[4:, :11] == 2.0).all()
    assert (found[4:, 14:] == 3.0).all()


def test_enlarging_both_images_of_a_matrix_moves_the_same_points():
    matrix = np.array([[0.8, -0.6, 3.0], [0.6, 0.8, -2.0]])
    found = scaled(matrix, 2.0, 2.0)
    point = np.array([10.0, 7.0])
    expected = 2 * (matrix @ [*point, 1] + 0.5) - 0.5  # a pixel's center is at whole numbers
    np.testing.assert_allclose(found @ [*(2 * (point + 0.5) - 0.5), 1], expected)
    np.testing.assert_allclose(scaled(found, 0.5, 0.5), matrix)


def test_a_template_of_turned_images_is_sharp_and_the_same_each_time():
    rng = np.random.default_rng(0)
    images = [
        prepared(moved(plate(rng), rng.uniform(-180, 180), tuple(rng.uniform(-5, 5, 2)))[..., 0], SIZE)
        for _ in range(8)
    ]
    first, correlations = make_template(images)
    again, _ = make_template(images)
    np.testing.assert_array_equal(first, again)
    assert min(correlations) > 0.95
    blurred = np.mean([one.gray for one in images], axis=0)
    spread = images[0].gray.std()
    assert first.std() / 255 > 0.97 * spread > 0.97 * blurred.std() / 0.95
    lie = lie_of(images[0], of_levels(first))
    assert lie is not None
    assert lie.correlation > 0.95


def test_one_image_is_its_own_template():
    image = prepared(plate(np.random.default_rng(0))[..., 0], SIZE)
    levels, correlations = make_template([image])
    assert correlations[0] > 0.99
    assert np.abs(levels / 255 - image.gray).mean() < 0.02
    assert 0.4 < least_correlation(correlations) < 1


def test_nothing_in_common_is_told_and_turns_nothing(template):
    noise = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE), dtype=np.uint8)
    assert not template.is_met(template.lie(noise))
    flat = template.lie(np.full((SIDE, SIDE), 80, np.uint8))
    assert not template.is_met(flat)
    assert np.isfinite(flat.matrix).all()


def test_values_of_a_range_and_any_channels_are_aligned_as_they_are(template):
    imaging = Imaging(alignment=template, range=ValueRange((0.0,), (4095.0,)))
    upright = plate(np.random.default_rng(2))
    image = moved(upright, 40, (2, 0))
    lie = lie_in(image, Imaging(alignment=template))
    counts = image.astype(np.uint16) * 16
    assert off(lie_in(counts, imaging).turn, lie.turn) < 0.5
    found = aligned(np.concatenate([counts, counts[..., :2]], axis=2), imaging, lie)
    assert found.shape == (SIDE, SIDE, 5)
    assert found.dtype == np.uint16
    assert np.abs(found[20:76, 20:76, 0] / 16 - upright[20:76, 20:76, 0]).mean() < 8


def test_an_alignment_is_stored_packed_and_compared_by_what_it_holds(template):
    assert Alignment.of(template.stored()) == template
    assert Alignment.unpacked(template.packed()) == template
    assert Alignment(template.template, 0.4) != template
    assert len({template, Alignment.of(template.stored())}) == 1
    for wrong in ({}, {"template": "bm8=", "least": 0.5}, {"template": 3, "least": 0.5}):
        with pytest.raises(ValueError, match="template"):
            Alignment.unpacked(wrong)


def test_an_image_of_another_shape_is_refused(template):
    with pytest.raises(ValueError, match=r"96 x 64 px .* one aspect ratio"):
        template.lie(np.zeros((64, 96), np.uint8))
    template.lie(np.zeros((192, 192), np.uint8))
