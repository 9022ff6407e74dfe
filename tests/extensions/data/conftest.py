"""Small data sets made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MakeImage = Callable[..., Path]


@pytest.fixture(autouse=True)
def own_cache_and_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("WORKBENCH_DATA", raising=False)


@pytest.fixture
def image() -> MakeImage:
    """Writes an image that no other call repeats, unless a seed is given."""
    count = iter(range(10**6))

    def write(path: Path, *, size: tuple[int, int] = (64, 64), seed: int | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(next(count) if seed is None else [seed, 1])
        coarse = Image.fromarray(rng.integers(60, 200, (8, 8, 3), dtype=np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(path)
        return path

    return write


@pytest.fixture
def mask() -> MakeImage:
    """Writes a mask with a white square in its middle, or with nothing."""

    def write(path: Path, *, size: tuple[int, int] = (64, 64), is_black: bool = False) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros(size[::-1], dtype=np.uint8)
        if not is_black:
            pixels[size[1] // 4 : size[1] // 2, size[0] // 4 : size[0] // 2] = 255
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def product(tmp_path: Path, image: MakeImage, mask: MakeImage) -> Path:
    """good (10), good_test (3), bad/scratch (3), bad/dent (2), masks of the bad ones."""
    root = tmp_path / "product"
    for index in range(10):
        image(root / "good" / f"{index:03d}.png")
    for index in range(3):
        image(root / "good_test" / f"{index:03d}.png")
    for kind, count in (("scratch", 3), ("dent", 2)):
        for index in range(count):
            image(root / "bad" / kind / f"{index:03d}.png")
            mask(root / "masks" / kind / f"{index:03d}_mask.png")
    return root


@pytest.fixture
def mvtec(tmp_path: Path, image: MakeImage, mask: MakeImage) -> Path:
    """A folder with the category bottle in the layout of MVTec AD."""
    folder = tmp_path / "mvtec" / "bottle"
    for index in range(4):
        image(folder / "train" / "good" / f"{index:03d}.png")
    for kind, count in (("good", 2), ("broken", 3)):
        for index in range(count):
            image(folder / "test" / kind / f"{index:03d}.png")
    for index in range(3):
        mask(folder / "ground_truth" / "broken" / f"{index:03d}_mask.png")
    return folder.parent
