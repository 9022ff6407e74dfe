"""The arguments `range` and `channels` by themselves."""

import numpy as np
import pytest

from extensions.data.channels import Channels, checked_channels
from extensions.data.imaging import Imaging
from extensions.data.value_range import ValueRange, checked_range, joined_range


def test_a_range_scales_and_clips_as_numpy_by_hand():
    values = np.array([900, 1000, 1001, 1400, 4095], np.uint16).reshape(1, 5, 1)
    found = checked_range([1000, 1400]).scaled(values)
    assert found.dtype == np.float32
    assert found.ravel() == pytest.approx([0, 0, 1 / 400, 1, 1])


def test_each_channel_has_its_own_range():
    values = np.array([[[128, 2000, 1.5]]], np.float32)
    assert checked_range([[0, 256], [1000, 3000], [1, 3]]).scaled(values).ravel() == pytest.approx([0.5, 0.5, 0.25])


def test_joined_ranges_hold_all_of_them():
    assert joined_range([ValueRange((1.0, 5.0), (2.0, 6.0)), ValueRange((0.0, 5.5), (1.0, 9.0))]) == ValueRange(
        (0.0, 5.0), (2.0, 9.0)
    )


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([1400, 1000], r"range is \[1400, 1000\], whose low value is not below the high one; .* swap them"),
        ([5, 5], "whose low value is not below the high one"),
        ([0, 1, 2], r"range is \[0, 1, 2\]; expected two numbers \[low, high\]"),
        ("12 bit", r"range is '12 bit'; expected two numbers \[low, high\] .* or auto"),
        ([[0, 1], [0]], "expected two numbers"),
        ([0, float("inf")], "expected two numbers"),
    ],
)
def test_what_is_no_range_is_refused_in_a_sentence(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        checked_range(given)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (0, "channels is 0; expected the number of channels in a file, or how the names"),
        ("_rgb.png", "channels is '_rgb.png'; expected the number"),
        ([], "expected the number"),
        (["a.png", "a.png"], "expected the number|tell an image's files apart"),
        (["b.png", "_b.png"], "files that end in _b.png end in b.png, too; expected ends that tell"),
    ],
)
def test_what_names_no_channels_is_refused_in_a_sentence(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        checked_channels(given)


def test_imaging_survives_being_stored_as_plain_values():
    imaging = Imaging(range=ValueRange((0.0, 1.5), (1.0, 2.0), True), channels=Channels(2, ("_a.png", "_b.tif")))
    assert Imaging.of(imaging.stored()) == imaging
    assert imaging.n_channels == 2
    assert not imaging.is_read_plainly
    assert Imaging().n_channels == 3
