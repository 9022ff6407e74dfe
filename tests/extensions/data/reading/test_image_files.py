"""Images and masks come out as a viewer shows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from extensions.data.reading.image_files import read_image, read_mask

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["rgb.png", "grey.png", "rgb.jpg", "grey.jpg", "rgb.bmp", "grey.tif", "palette.png"])
def test_plain_8_bit_images_have_the_values_of_anomalibs_reader(tmp_path: Path, name: str) -> None:
    from anomalib.data.utils import read_image as stock

    image = Image.fromarray(RGB)
    modes = {"grey": "L", "palette": "P", "rgb": "RGB"}
    image.convert(modes[name.split(".")[0]]).save(tmp_path / name)
    np.testing.assert_array_equal(read_image(tmp_path / name) / 255.0, stock(tmp_path / name))


@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "deep.pgm"])
def test_16_bit_grey_is_scaled_from_its_full_range(tmp_path: Path, name: str) -> None:
    values = np.linspace(0, 65535, 600).reshape(20, 30).astype(np.uint16)
    if name.endswith("pgm"):
        (tmp_path / name).write_bytes(b"P5 30 20 65535\n" + values.astype(">u2").tobytes())
    else:
        Image.fromarray(values).save(tmp_path / name)
    expected = np.rint(values / 257).astype(int)
    assert np.abs(read_image(tmp_path / name)[..., 0].astype(int) - expected).max() <= 1
    assert read_image(tmp_path / name).max() == 255
    assert len(np.unique(read_image(tmp_path / name))) > 200  # a clipped image would have few


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RGB).save(tmp_path / "turned.png", exif=exif)
    expected = np.array(ImageOps.exif_transpose(Image.open(tmp_path / "turned.png")).convert("RGB"))
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), expected)
    assert read_image(tmp_path / "turned.png").shape[:2] == ((30, 20) if orientation >= 5 else (20, 30))


def test_colors_below_transparency_do_not_show(tmp_path: Path) -> None:
    layers = np.dstack([RGB, np.full(RGB.shape[:2], 255, dtype=np.uint8)])
    layers[:5, :, 3] = 0
    Image.fromarray(layers, "RGBA").save(tmp_path / "clear.png")
    image = read_image(tmp_path / "clear.png")
    assert (image[:5] == 0).all()
    np.testing.assert_array_equal(image[5:], RGB[5:])


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (200, 30, 30)).convert("CMYK").save(tmp_path / "print.tif")
    assert np.abs(read_image(tmp_path / "print.tif")[0, 0].astype(int) - (200, 30, 30)).max() <= 2


def test_floating_point_must_lie_in_the_unit_range(tmp_path: Path) -> None:
    Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)).save(tmp_path / "unit.tif")
    Image.fromarray(np.full((8, 8), 300.0, dtype=np.float32)).save(tmp_path / "counts.tif")
    assert read_image(tmp_path / "unit.tif").max() == 255
    with pytest.raises(ValueError, match=r"counts\.tif.*from 300 to 300; expected 0 to 1"):
        read_image(tmp_path / "counts.tif")


@pytest.mark.parametrize(("content", "found"), [(b"", "0 bytes"), (b"hello", "not an image")])
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "no.png").write_bytes(content)
    with pytest.raises(ValueError, match=rf"no\.png.*{found}"):
        read_image(tmp_path / "no.png")


def test_every_nonzero_pixel_of_a_mask_is_a_defect(tmp_path: Path) -> None:
    expected = np.zeros((8, 8), dtype=np.uint8)
    expected[2:4, 2:4] = 1
    for value in (1, 128, 255):
        Image.fromarray(expected * value).save(tmp_path / "mask.png")
        np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), expected)
    Image.fromarray(expected.astype(bool)).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), expected)
    Image.fromarray(expected.astype(np.uint16) * 300).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), expected)
    blue = np.zeros((8, 8, 3), dtype=np.uint8)
    blue[..., 2] = expected  # too dark for a conversion to grey, which would lose it
    Image.fromarray(blue).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), expected)
