"""Plain files are decoded without Pillow, to the pixels that it gives; all others are left to it."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from extensions.data.reading.image_files import read_image, read_mask
from extensions.data.reading.plain_files import plain_pixels

ORIENTATION = 0x0112


def plain(content: bytes) -> np.ndarray | None:
    found = plain_pixels(content)
    return None if found is None else found[0]


def scene(mode: str = "RGB", size: tuple[int, int] = (37, 53)) -> Image.Image:
    """Colors that change slowly, with some noise: chroma and edges of blocks matter."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    waves = [127 + 100 * np.sin(rows / 5 + shift) * np.cos(columns / (7 + shift)) for shift in range(3)]
    noisy = np.stack(waves, axis=2) + np.random.default_rng(0).normal(0, 8, (*size, 3))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).convert(mode)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


JPEGS: list[dict[str, Any]] = [
    *({"quality": quality, "subsampling": kind} for quality in (30, 75, 95) for kind in ("4:4:4", "4:2:2", "4:2:0")),
    {"quality": 80, "progressive": True},
    {"quality": 80, "optimize": True, "restart_marker_blocks": 2},
    {"quality": 80, "comment": b"of the camera", "dpi": (72, 72), "icc_profile": b"any"},
    {"quality": 80, "exif": turned(1)},
]


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("options", JPEGS)
def test_a_plain_jpeg_has_the_pixels_of_pillow(tmp_path: Path, mode: str, options: dict[str, Any]) -> None:
    content = encoded(scene(mode), "JPEG", **options)
    (tmp_path / "image.jpg").write_bytes(content)
    with Image.open(BytesIO(content)) as expected:
        np.testing.assert_array_equal(plain(content), np.asarray(expected))
        np.testing.assert_array_equal(read_image(tmp_path / "image.jpg"), np.asarray(expected.convert("RGB")))


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("BMP", "RGB", {}),
        ("TIFF", "L", {}),
        ("TIFF", "RGB", {}),
        ("TIFF", "RGB", {"compression": "tiff_deflate"}),
        ("TIFF", "RGB", {"compression": "tiff_adobe_deflate", "tiffinfo": {317: 2}}),
    ],
)
def test_a_plain_bmp_or_tiff_has_the_pixels_of_pillow(kind: str, mode: str, options: dict[str, Any]) -> None:
    content = encoded(scene(mode), kind, **options)
    np.testing.assert_array_equal(plain(content), np.asarray(Image.open(BytesIO(content))))


def test_the_pages_of_a_plain_tiff_are_counted() -> None:
    content = encoded(scene(), "TIFF", save_all=True, append_images=[scene()])
    found = plain_pixels(content)
    assert found is not None
    assert found[1:] == ("TIFF", 2)
    np.testing.assert_array_equal(found[0], np.asarray(scene()))


def test_what_pillow_heeds_in_other_files_is_left_to_it() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    image = scene()
    several = [
        encoded(image, "JPEG", exif=turned(6)),
        encoded(image, "JPEG", xmp=xmp),
        encoded(image.convert("CMYK"), "JPEG"),
        encoded(image.convert("P"), "BMP"),
        encoded(image.convert("L"), "BMP"),
        encoded(image, "TIFF", exif=turned(8)),
        encoded(image, "TIFF", compression="tiff_lzw"),
        encoded(image, "TIFF", compression="jpeg"),
        encoded(image.convert("RGBA"), "TIFF"),
        encoded(image.convert("CMYK"), "TIFF"),
        encoded(image.convert("1"), "TIFF"),
        encoded(image, "WEBP"),
    ]
    assert [plain(content) for content in several] == [None] * len(several)


@pytest.mark.parametrize("kind", ["JPEG", "BMP", "TIFF"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_left_to_pillow_which_says_so(tmp_path: Path, kind: str, part: float) -> None:
    content = encoded(scene(), kind)
    cut = content[: int(part * len(content))]
    path = tmp_path / f"bad.{kind.lower()}"
    path.write_bytes(cut)
    assert plain(cut) is None
    with pytest.raises(ValueError, match=r"cannot read the image .*bad"):
        read_image(path)


def test_what_is_lost_inside_of_a_jpeg_shows_as_in_pillow() -> None:
    content = encoded(scene(size=(96, 96)), "JPEG", restart_marker_blocks=4)
    middle = len(content) * 2 // 3
    broken = content[:middle] + content[middle + 200 :]
    np.testing.assert_array_equal(plain(broken), np.asarray(Image.open(BytesIO(broken))))


def test_an_image_that_pillow_would_warn_of_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [encoded(scene(), kind) for kind in ("JPEG", "BMP")]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert [plain(content) for content in contents] == [None, None]


def test_a_mask_saved_as_jpeg_is_still_cut_at_half_of_its_range(tmp_path: Path) -> None:
    marks = np.zeros((40, 40), np.uint8)
    marks[10:20, 10:20] = 255
    (tmp_path / "mask.jpg").write_bytes(encoded(Image.fromarray(marks), "JPEG", quality=60))
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.jpg"), marks > 0)


def png(tmp_path: Path, image: Image.Image, **options: object) -> bytes:
    path = tmp_path / "image.png"
    image.save(path, **options)  # type: ignore[arg-type]
    return path.read_bytes()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_plain_png_is_decoded_without_pillow_to_the_same_pixels(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(noise(37, 23, 3)).convert(mode)
    content = png(tmp_path, image, dpi=(72, 72))
    np.testing.assert_array_equal(plain(content), np.asarray(image))
    np.testing.assert_array_equal(read_image(tmp_path / "image.png"), np.asarray(image.convert("RGB")))


def test_what_pillow_heeds_in_a_png_is_left_to_it(tmp_path: Path) -> None:
    image = Image.fromarray(noise(20, 30, 3))
    turned = Image.Exif()
    turned[0x0112] = 6
    several = [
        png(tmp_path, image, exif=turned),
        png(tmp_path, image, transparency=(1, 2, 3)),
        png(tmp_path, image.convert("P")),
        png(tmp_path, image.convert("RGBA")),
        png(tmp_path, image.convert("1")),
        png(tmp_path, Image.fromarray(noise(20, 30).astype(np.uint16) * 257)),
    ]
    assert [plain(content) for content in several] == [None] * len(several)


@pytest.mark.parametrize("damage", ["cut", "cut in the header", "flipped", "no end"])
def test_a_damaged_png_is_left_to_pillow_which_says_so(tmp_path: Path, damage: str) -> None:
    content = bytearray(png(tmp_path, Image.fromarray(noise(60, 60, 3))))
    if damage == "flipped":
        content[200] ^= 255
    damaged = {"cut": content[:4000], "cut in the header": content[:20], "flipped": content, "no end": content[:-12]}
    (tmp_path / "bad.png").write_bytes(damaged[damage])
    assert plain(bytes(damaged[damage])) is None
    if damage != "no end":  # Pillow shows what there is
        with pytest.raises(ValueError, match=r"cannot read the image .*bad\.png"):
            read_image(tmp_path / "bad.png")
