from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from extensions.data.checks.inspection import inspect_files
from extensions.data.checks.remarks import of_one, sentences
from extensions.data.reading.image_files import read_image, read_stored
from extensions.data.reading.stored import Stored, is_plain

RNG = np.random.default_rng(0)
TWELVE = RNG.integers(1, 4096, (20, 30, 3), dtype=np.uint16)
TWELVE[0, 0] = 4095


def write(path: Path, pixels: np.ndarray, **tiff: object) -> Path:
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels, **tiff)
    else:
        path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels)))
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(("kind", "largest"), [("12 bits", 4095), ("8 bits", 199), ("16 bits", 0), ("black", 0)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_largest_value_is_known_of_low_16_bit_images_only(tmp_path, suffix, kind, largest, channels):
    factor = {"12 bits": 1, "8 bits": 0, "16 bits": 16, "black": 0}[kind]
    pixels = TWELVE * np.uint16(factor)
    if kind == "8 bits":
        pixels = np.clip(TWELVE, 0, 199)
    if channels == 1:
        pixels = pixels[..., 0]
    elif channels == 4:  # opaque: alpha is no color
        pixels = np.dstack([pixels, np.full((20, 30), 65535, np.uint16)])
    color = {"photometric": "rgb" if channels > 1 else "minisblack"}
    path = write(tmp_path / f"image{suffix}", pixels, **color)
    assert read_stored(path)[1] == Stored(largest)


def test_8_bit_images_need_no_remark(tmp_path):
    for name, mode in (("grey.png", "L"), ("color.jpg", "RGB"), ("palette.png", "P"), ("dark.bmp", "RGB")):
        Image.new(mode, (9, 9), 1).save(tmp_path / name)
        assert read_stored(tmp_path / name)[1] == Stored()


def test_white_at_zero_is_read_as_it_is_shown(tmp_path):
    shown = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    plain = read_image(write(tmp_path / "plain.tif", shown, photometric="minisblack"))
    for name, pixels in (
        ("16.tif", 65535 - shown),
        ("8.tif", 255 - plain[..., 0]),
        ("float.tif", (1 - shown / 65535).astype(np.float32)),
    ):
        found = read_image(write(tmp_path / name, pixels, photometric="miniswhite"))
        assert np.abs(found.astype(int) - plain).max() <= 1, name
    turned = write(tmp_path / "turned.tif", 65535 - shown, photometric="miniswhite", extratags=[(274, "H", 1, 6, True)])
    np.testing.assert_array_equal(read_image(turned), np.rot90(plain, -1))


def test_16_bit_colors_one_after_the_other_are_read_as_those_side_by_side(tmp_path):
    pixels = TWELVE * np.uint16(16)
    beside = write(tmp_path / "beside.tif", pixels, photometric="rgb")
    after = write(tmp_path / "after.tif", pixels.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_image(after), read_image(beside))


def test_pages_are_counted_without_previews(tmp_path):
    first = np.arange(600, dtype=np.uint8).reshape(20, 30)
    for name, kind, pages in (("pages.tif", 0, 3), ("previews.tif", 1, 1)):
        with tifffile.TiffWriter(tmp_path / name) as file:
            for page in (first, first // 2, first // 4):
                file.write(page, subfiletype=0 if page is first else kind, contiguous=False)
        pixels, stored = read_stored(tmp_path / name)
        assert stored.pages == pages
        np.testing.assert_array_equal(pixels[..., 0], first)


def test_a_tiff_of_unknown_kind_is_not_called_no_image(tmp_path):
    path = write(tmp_path / "double.tif", np.zeros((9, 9)))
    with pytest.raises(ValueError, match=r"double\.tif: a TIFF of bits or channels that are not known here"):
        read_image(path)


def test_sentences_name_count_first_file_and_what_was_found():
    files = {"b.png": Stored(4095), "a.png": Stored(700), "c.png": Stored(), "d.tif": Stored(pages=3)}
    low, pages = sentences(files, n_files=20)
    assert low.startswith("2 of 20 images: 16-bit image that uses the lowest sixteenth of its range")
    assert "such as a.png (largest value 4095 of 65535: 12 bits stored in 16); name where their values lie by" in low
    assert pages.startswith("1 of 20 images")
    assert "such as d.tif (3 pages)" in pages
    assert sentences({"c.png": Stored()}, n_files=1) == []
    assert of_one(Stored(200))[0].count("largest value 200 of 65535: 8 bits stored in 16") == 1


def test_facts_of_an_earlier_process_hold_what_is_stored(tmp_path, monkeypatch):
    path = write(tmp_path / "low.png", TWELVE)
    first = inspect_files([path])
    monkeypatch.setattr("extensions.data.checks.inspection._known", {})
    monkeypatch.setattr("extensions.data.checks.inspection.open_stored", None)  # nothing is decoded again
    assert inspect_files([path]) == first
    assert first[str(path)].stored == Stored(4095)


def test_plain_files_are_those_that_any_reader_reads_alike(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "plain.png")
    Image.new("L", (9, 9)).save(tmp_path / "grey.jpg")
    Image.new("RGBA", (9, 9)).save(tmp_path / "clear.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (9, 9)).save(tmp_path / "turned.jpg", exif=exif)
    write(tmp_path / "grey16.png", TWELVE[..., 0])
    write(tmp_path / "color16.png", TWELVE)
    write(tmp_path / "color16.tif", TWELVE, photometric="rgb")
    (tmp_path / "broken.png").write_bytes(b"")
    assert sorted(path.name for path in tmp_path.iterdir() if is_plain(path)) == ["grey.jpg", "plain.png"]
