"""A mask marks what was drawn, and one that cannot be meant so is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from extensions.data.reading.image_files import read_mask
from extensions.data.reading.marking import Look, read_marks


def square(value: int = 255, background: int = 0, dtype: type = np.uint8) -> np.ndarray:
    values = np.full((64, 64), background, dtype)
    values[20:30, 20:30] = value
    return values


def disk(radius: int, supersampling: int = 1) -> Image.Image:
    side, middle, r = 128 * supersampling, 64 * supersampling, radius * supersampling
    image = Image.new("L", (side, side))
    ImageDraw.Draw(image).ellipse((middle - r, middle - r, middle + r, middle + r), fill=255)
    return image


@pytest.mark.parametrize("radius", [3, 10, 30])
@pytest.mark.parametrize(("fill", "quality"), [(255, 75), (255, 30), (128, 75)])
def test_a_jpeg_mask_marks_what_its_png_marks(tmp_path: Path, radius: int, fill: int, quality: int) -> None:
    mask = disk(radius).point(lambda value: fill if value else 0)
    mask.save(tmp_path / "mask.png")
    mask.save(tmp_path / "mask.jpg", quality=quality)
    Image.open(tmp_path / "mask.jpg").save(tmp_path / "resaved.png")
    expected = int(read_mask(tmp_path / "mask.png").sum())
    for name in ("mask.jpg", "resaved.png"):
        found = read_mask(tmp_path / name)
        assert abs(int(found.sum()) - expected) <= max(3, 0.03 * expected)
        assert int((found != read_mask(tmp_path / "mask.png")).sum()) <= max(4, 0.05 * expected)


def test_soft_edges_are_cut_at_half_so_that_the_area_stays() -> None:
    soft = np.asarray(disk(20, supersampling=8).resize((128, 128), Image.Resampling.BOX))
    marking = read_marks(soft)
    assert marking.is_cut
    assert marking.marks.sum() == pytest.approx(soft.sum() / 255, rel=0.01)


@pytest.mark.parametrize(
    ("values", "look", "share"),
    [
        (square(), Look.MARKED, 100 / 4096),
        (square(1), Look.MARKED, 100 / 4096),
        (square(300, dtype=np.uint16), Look.MARKED, 100 / 4096),
        (square(0), Look.BLACK, 0),
        (square(255, 255), Look.WHOLE, 1),
        (square(0, 255), Look.FRAMED, 1 - 100 / 4096),
        (square(255, 1), Look.NO_BACKGROUND, 1),
        (square(107, 7, np.uint16), Look.NO_BACKGROUND, 1),
        (square(1.0, 0.5, np.float32), Look.NO_BACKGROUND, 1),
    ],
)
def test_what_a_mask_looks_like(values: np.ndarray, look: Look, share: float) -> None:
    marking = read_marks(values)
    assert (marking.look, marking.is_cut) == (look, False)
    assert marking.share == pytest.approx(share)


def test_class_and_instance_numbers_all_count_as_defect() -> None:
    classes = square(1)
    classes[40:50, 40:50] = 2
    classes[50:60, 50:60] = 3
    assert (read_marks(classes).look, int(read_marks(classes).marks.sum())) == (Look.MARKED, 300)
    instances = np.zeros((64, 64), np.uint8)
    for number in range(1, 31):
        instances[2 * number, :5] = number
    assert int(read_marks(instances).marks.sum()) == 150


def test_255_beside_small_class_numbers_may_mean_ignore() -> None:
    values = square(1)
    values[:5] = 255
    assert read_marks(values).look == Look.IGNORE


def test_photographs_and_heat_maps_are_no_masks() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    ys, xs = np.mgrid[:64, :64]
    heat = (255 * np.exp(-((ys - 32) ** 2 + (xs - 32) ** 2) / 200)).astype(np.uint8)
    assert [read_marks(values).look for values in (noise, heat, heat / 255)] == [Look.GREY] * 3


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_thin_defects_with_soft_edges_are_masks(tmp_path: Path, suffix: str) -> None:
    large = Image.new("L", (256, 256))
    ImageDraw.Draw(large).line([(10, 10), (240, 200)], fill=255, width=3)
    large.resize((64, 64), Image.Resampling.BILINEAR).save(tmp_path / f"mask.{suffix}")
    values = np.asarray(Image.open(tmp_path / f"mask.{suffix}"))
    marking = read_marks(values, is_jpeg=suffix == "jpg")
    assert (marking.look, marking.is_cut) == (Look.MARKED, True)


@pytest.mark.parametrize("quality", [50, 75, 90])
def test_a_jpeg_saved_as_png_leaves_no_noise_around_the_defect(tmp_path: Path, quality: int) -> None:
    values = np.zeros((64, 64), np.uint8)
    values[16:24, 21:31] = 255
    Image.fromarray(values).save(tmp_path / "mask.jpg", quality=quality)
    Image.open(tmp_path / "mask.jpg").save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png"), values > 0)


def test_class_numbers_do_not_survive_jpeg(tmp_path: Path) -> None:
    Image.fromarray(square(3)).save(tmp_path / "mask.jpg")
    values = np.asarray(Image.open(tmp_path / "mask.jpg"))
    assert read_marks(values, is_jpeg=True).look == Look.FAINT


def test_colors_of_a_palette_count_not_their_numbers(tmp_path: Path) -> None:
    image = Image.fromarray(square(1)).convert("P")
    image.putdata(list(square(1).ravel()))
    image.putpalette([0, 0, 0, 0, 128, 0])
    image.save(tmp_path / "mask.png")
    assert int(read_mask(tmp_path / "mask.png").sum()) == 100
