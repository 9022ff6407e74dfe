"""Files read without loss, against what was written, by tifffile, imagecodecs and NumPy."""

import io

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from extensions.data.channels import Channels
from extensions.data.imaging import Imaging
from extensions.data.reading.arrays import n_values, upright, viewable
from extensions.data.reading.counts import read_counts, to_8_bits
from extensions.data.reading.image_files import read_image, read_stored
from extensions.data.reading.pixels import pixels_of, read_pixels, shown, unit_image
from extensions.data.value_range import ValueRange

RNG = np.random.default_rng(0)
FIVE = RNG.integers(0, 65535, (12, 17, 5)).astype(np.uint16)
BY_CHANNEL = np.moveaxis(FIVE, -1, 0)


def encoded(pixels: np.ndarray) -> bytes:
    return imagecodecs.png_encode(np.ascontiguousarray(pixels))


@pytest.mark.parametrize(
    ("stored", "settings", "expected"),
    [
        (FIVE, {"planarconfig": "contig"}, FIVE),
        (FIVE, {"planarconfig": "contig", "byteorder": ">"}, FIVE),
        (FIVE, {"planarconfig": "contig", "compression": "lzw", "predictor": True}, FIVE),
        (FIVE, {"planarconfig": "contig", "bigtiff": True}, FIVE),
        (BY_CHANNEL, {"planarconfig": "separate"}, FIVE),
        (FIVE.astype(np.float32), {"planarconfig": "contig"}, FIVE.astype(np.float32)),
        ((FIVE >> 8).astype(np.uint8), {"planarconfig": "contig"}, (FIVE >> 8).astype(np.uint8)),
        (FIVE[..., 0], {}, FIVE[..., :1]),
        (FIVE[..., :3], {"photometric": "rgb"}, FIVE[..., :3]),
        (BY_CHANNEL[:3], {"photometric": "rgb", "planarconfig": "separate"}, FIVE[..., :3]),
    ],
)
def test_tiffs_are_read_as_tifffile_wrote_them(tmp_path, stored, settings, expected):
    tifffile.imwrite(tmp_path / "a.tif", stored, **({"photometric": "minisblack"} | settings))
    found = read_counts(tmp_path / "a.tif")
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_pages_are_channels_where_all_of_a_tiff_is_asked_for(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", BY_CHANNEL, photometric="minisblack")
    np.testing.assert_array_equal(read_counts(tmp_path / "a.tif", pages=True), FIVE)
    np.testing.assert_array_equal(read_counts(tmp_path / "a.tif"), FIVE[..., :1])


@pytest.mark.parametrize("n", [2, 4])
def test_two_and_four_channels_are_no_transparency(tmp_path, n):
    pixels = (FIVE[..., :n] >> 8).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", planarconfig="contig")
    np.testing.assert_array_equal(read_counts(tmp_path / "a.tif", pages=True), pixels)


def test_16_bit_png_keeps_all_its_values(tmp_path):
    for n in (1, 3):
        pixels = FIVE[..., :n]
        (tmp_path / "a.png").write_bytes(encoded(pixels.squeeze()))
        np.testing.assert_array_equal(read_counts(tmp_path / "a.png"), pixels)


def test_16_bit_color_with_transparency_lies_over_black(tmp_path):
    pixels = FIVE[..., :4]
    (tmp_path / "a.png").write_bytes(encoded(pixels))
    expected = np.rint(pixels[..., :3] * (pixels[..., 3:] / 65535.0))
    np.testing.assert_array_equal(read_counts(tmp_path / "a.png"), expected)


def test_a_turned_file_is_read_upright(tmp_path):
    for orientation in range(1, 9):
        extratags = [(274, 3, 1, orientation, True)]
        tifffile.imwrite(tmp_path / "a.tif", FIVE[..., 0], photometric="minisblack", extratags=extratags)
        tifffile.imwrite(tmp_path / "b.tif", FIVE, photometric="minisblack", planarconfig="contig", extratags=extratags)
        one, five = read_counts(tmp_path / "a.tif"), read_counts(tmp_path / "b.tif")
        np.testing.assert_array_equal(five[..., :1], one)
        np.testing.assert_array_equal(five, upright(FIVE, orientation))


def test_white_at_zero_is_inverted_as_in_8_bits(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", FIVE[..., 0], photometric="miniswhite")
    expected = 65535 - FIVE[..., :1]
    np.testing.assert_array_equal(read_counts(tmp_path / "a.tif"), expected)
    np.testing.assert_array_equal(read_counts(tmp_path / "a.tif", pages=True), expected)


def test_npy_of_objects_is_not_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[{}]], object), allow_pickle=True)
    with pytest.raises(
        ValueError, match=r"a\.npy: it holds pickled objects, which are not loaded, .* array of numbers"
    ):
        read_counts(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((2, 2, 2, 2)), r"shape \(2, 2, 2, 2\); expected \(height, width, channels\)"),
        (np.full((4, 4), np.nan), "NaN or infinite values; expected numbers"),
        (np.full((4, 4), -1), "int64 numbers from -1 to -1; expected whole ones from 0 to 65535"),
        (np.zeros((4, 4), complex), "complex128 numbers; expected"),
    ],
)
def test_npy_of_something_else_is_refused_in_a_sentence(tmp_path, array, sentence):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=rf"a\.npy: .*{sentence}"):
        read_counts(tmp_path / "a.npy")


def test_pages_of_two_sizes_are_told(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for side in (8, 9):
            file.write(np.zeros((side, 8), np.uint16), photometric="minisblack")
    with pytest.raises(ValueError, match="its pages are of several sizes"):
        read_counts(tmp_path / "a.tif", pages=True)


def test_many_channels_are_shown_and_counted_but_not_read_as_color(tmp_path):
    np.save(tmp_path / "a.npy", FIVE)
    image, stored = read_stored(tmp_path / "a.npy")
    assert (image.shape, image.dtype, stored.channels) == ((12, 17, 3), np.uint8, 5)
    with pytest.raises(ValueError, match=r"it has 5 channels; expected grey or RGB: set the argument channels .* to 5"):
        read_pixels(tmp_path / "a.npy", Imaging())


def test_the_files_of_an_image_are_stacked_in_their_order(tmp_path):
    rgb, nir, depth = (FIVE[..., :3] >> 8).astype(np.uint8), FIVE[..., 3], FIVE[..., 4].astype(np.float32) / 1000
    (tmp_path / "1_rgb.png").write_bytes(encoded(rgb))
    (tmp_path / "1_nir.png").write_bytes(encoded(nir))
    tifffile.imwrite(tmp_path / "1_depth.tif", depth)
    channels = Channels(5, ("_rgb.png", "_nir.png", "_depth.tif"))
    value_range = ValueRange((0.0,) * 5, (255.0, 255.0, 255.0, 65535.0, 66.0), True)
    imaging = Imaging(range=value_range, channels=channels)
    found = read_pixels(tmp_path / "1_rgb.png", imaging)
    np.testing.assert_array_equal(found, np.dstack([rgb, nir, depth]).astype(np.float32))
    unit = unit_image(found, imaging)
    assert unit.shape == (5, 12, 17)
    np.testing.assert_allclose(unit[3], nir / 65535, atol=1e-6)
    np.testing.assert_array_equal(shown(found, imaging), rgb)


def test_without_a_range_each_file_is_brought_to_8_bits_by_its_own_bits(tmp_path):
    rgb, nir = (FIVE[..., :3] >> 8).astype(np.uint8), FIVE[..., 3]
    (tmp_path / "1_rgb.png").write_bytes(encoded(rgb))
    (tmp_path / "1_nir.png").write_bytes(encoded(nir))
    found = read_pixels(tmp_path / "1_rgb.png", Imaging(channels=Channels(4, ("_rgb.png", "_nir.png"))))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[..., :3], rgb)
    np.testing.assert_array_equal(found[..., 3], read_image(tmp_path / "1_nir.png")[..., 0])


def test_grey_with_a_range_is_three_times_its_counts(tmp_path):
    Image.fromarray(FIVE[..., 0]).save(tmp_path / "a.png")
    imaging = Imaging(range=ValueRange((0.0,), (65535.0,)))
    found = read_pixels(tmp_path / "a.png", imaging)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, np.repeat(FIVE[..., :1], 3, axis=2))
    np.testing.assert_allclose(unit_image(found, imaging)[1], FIVE[..., 0] / 65535, atol=1e-6)


def test_a_missing_file_of_an_image_is_named(tmp_path):
    Image.fromarray(FIVE[..., 0]).save(tmp_path / "1_a.png")
    with pytest.raises(FileNotFoundError, match=r"1_b\.png: there is no such file, which belongs to 1_a\.png"):
        read_pixels(tmp_path / "1_a.png", Imaging(channels=Channels(2, ("_a.png", "_b.png"))))


def test_files_of_two_sizes_are_named(tmp_path):
    Image.fromarray(FIVE[..., 0]).save(tmp_path / "1_a.png")
    Image.fromarray(FIVE[:5, ..., 0]).save(tmp_path / "1_b.png")
    with pytest.raises(
        ValueError, match=r"1_b\.png is 17 x 5 px, but 1_a\.png is 17 x 12 px; expected files of one size"
    ):
        read_pixels(tmp_path / "1_a.png", Imaging(channels=Channels(2, ("_a.png", "_b.png"))))


def test_another_number_of_channels_is_told(tmp_path):
    np.save(tmp_path / "a.npy", FIVE)
    with pytest.raises(ValueError, match=r"a\.npy: it has 5 channels; expected 4 as the data set's channels says"):
        read_pixels(tmp_path / "a.npy", Imaging(channels=Channels(4)))


def test_floating_point_where_training_had_whole_numbers_is_told(tmp_path):
    np.save(tmp_path / "a.npy", FIVE.astype(np.float32))
    imaging = Imaging(range=ValueRange((0.0,), (65535.0,)), channels=Channels(5))
    with pytest.raises(ValueError, match="floating point values where training had whole ones"):
        read_pixels(tmp_path / "a.npy", imaging)


def test_floating_point_without_a_range_must_lie_in_0_to_1():
    with pytest.raises(ValueError, match=r"from 0 to 2; expected 0 to 1: name their range by the argument range"):
        to_8_bits(np.array([[[0.0, 2.0]]], np.float32))


def test_headers_tell_how_many_values_come():
    file = io.BytesIO()
    np.save(file, FIVE)
    assert n_values(file.getvalue()) == FIVE.size
    file = io.BytesIO()
    tifffile.imwrite(file, BY_CHANNEL, photometric="minisblack")
    assert n_values(file.getvalue()) == FIVE.size
    np.testing.assert_array_equal(pixels_of(file.getvalue(), Imaging(channels=Channels(5)))[0], to_8_bits(FIVE))


def test_fewer_than_three_channels_are_shown_as_their_mean():
    pixels = np.dstack([np.full((2, 2), 10, np.uint8), np.full((2, 2), 20, np.uint8)])
    np.testing.assert_array_equal(viewable(pixels), np.full((2, 2, 3), 15, np.uint8))
