"""Images that are left out because of their endings are told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from extensions import Folder, MVTecAD
from extensions.data.checks.left_out import left_out
from extensions.data.errors import Kind

MakeImage = Callable[..., Path]


@pytest.fixture
def odd(product: Path) -> Path:
    """A product with 3 GIF files and one without an ending among the good ones, and much that is no image."""
    for index in range(3):
        Image.open(product / "good" / f"{index:03d}.png").rotate(90 + index).save(product / "good" / f"{index}.gif")
    Image.open(product / "good" / "003.png").rotate(45).save(product / "good" / "camera", format="PNG")
    (product / "good" / "README").write_text("taken on Monday")
    (product / "good" / "notes.txt").write_text("no image")
    (product / "good" / ".DS_Store").write_bytes(b"\0" * 100)
    (product / "good" / "phone.heic").write_bytes(b"not decoded here")
    return product


def test_they_are_told_with_their_number_and_an_example(odd: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = {(p.file, p.detail, p.n) for p in left_out(odd / "good", odd)}
    assert found == {
        ("good/0.gif", "3 ending in .gif", 3),
        ("good/camera", "1 without an ending", 1),
        ("good/phone.heic", "1 ending in .heic", 1),
    }
    with caplog.at_level(logging.WARNING):
        Folder("x", "good", root=odd, abnormal_dir="bad").setup()
    assert f"{Kind.LEFT_OUT.value[0]} (5): good/0.gif (3 ending in .gif)" in caplog.text


def test_whoever_names_endings_gets_these_files_and_no_word(odd: Path, caplog: pytest.LogCaptureFixture) -> None:
    (odd / "good" / "README").unlink()
    data = Folder("x", "good", root=odd, extensions=[".png", "gif", ""], test_split_ratio=0)
    data.setup()
    assert len(data.train_data) == 10 + 3 + 1
    assert Kind.LEFT_OUT.value[0] not in caplog.text


def test_jfif_is_jpeg(product: Path, image: MakeImage) -> None:
    Image.open(image(product / "new.png")).save(product / "good" / "new.jfif", format="JPEG")
    data = Folder("x", "good", root=product, test_split_ratio=0)
    data.setup()
    assert sum(path.endswith(".jfif") for path in data.train_data.samples["image_path"]) == 1


def test_the_layout_of_mvtec_tells_them_too(mvtec: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = mvtec / "bottle" / "train" / "good"
    Image.open(good / "000.png").rotate(90).save(good / "000.gif")
    with caplog.at_level(logging.WARNING):
        MVTecAD(root=mvtec).setup()
    assert "bottle/train/good/000.gif (1 ending in .gif)" in caplog.text
