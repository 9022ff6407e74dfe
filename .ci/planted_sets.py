"""Data sets with planted defects for configs/benchmark/planted_*.yaml: `python .ci/planted_sets.py FOLDER` draws them.

Each is drawn with three seeds in the layout of MVTec AD, as gray PNG of 8 bits and 256 x 256 px unless said otherwise:

- `belt`: a part in one place on a belt that never looks the same, 30 to train on, 20 good and 20 defective to test.
  Each defective one has a spot on the part; half of all test images have the same kind of spot on the belt.
- `tray`: the same part somewhere on an even tray, and the spots on the tray.
- `strip`: a woven strip of 4096 x 256 px, 20 to train on, 10 good and 10 defective ones to test with a spot of 6 px.
- `deep`: values 1000 to 1400 of a 12-bit camera in 16 bits, 30 to train on, 20 and 20 to test with a spot of 30 counts.
- `infrared`: three files an image, `_rgb`, `_nir` and `_depth`; the spot is seen in infrared only.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

SIDE = 256  # px
SEEDS = (0, 1, 2)
N_TRAIN, N_TEST = 30, 20  # of the latter good and defective ones each
RADII = (95, 70)  # px, of the part
CONTRAST = 70  # gray levels

ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]


def disc(row: float, column: float, radii: tuple[float, float]) -> np.ndarray:
    """(256, 256) bool; radii are those along columns and rows."""
    return ((COLUMNS - column) / radii[0]) ** 2 + ((ROWS - row) / radii[1]) ** 2 < 1


def draw_belt(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An image and where its part lies."""
    part = disc(SIDE / 2, SIDE / 2, RADII)
    belt = cv2.GaussianBlur(rng.normal(0, 180, (SIDE, SIDE)).astype(np.float32), (0, 0), 3) + 90
    return np.where(part, texture(rng), belt), part


def draw_tray(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An image and where its part lies."""
    place = SIDE / 2 + rng.uniform(-24, 24, 2)
    part = disc(place[0], place[1], (RADII[0] * 0.9, RADII[1] * 0.9))
    return np.where(part, texture(rng), rng.normal(40, 3, (SIDE, SIDE))), part


def texture(rng: np.random.Generator) -> np.ndarray:
    """The part's surface: stripes and grain."""
    return 150 + 14 * np.sin(COLUMNS / 4 + rng.uniform(0, 6)) + rng.normal(0, 6, (SIDE, SIDE))


def with_spot(
    image: np.ndarray, part: np.ndarray, rng: np.random.Generator, *, on_part: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The image with a spot on its part or off it, and where it is."""
    while True:
        row, column = rng.integers(12, SIDE - 12, 2)
        spot = disc(row, column, (rng.integers(4, 7),) * 2)
        near = disc(row, column, (14, 14))
        if part[spot].all() if on_part else not part[near].any():
            return np.where(spot, image + rng.choice([-1, 1]) * CONTRAST, image), spot


def write_set(root: Path, draw: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]], seed: int) -> None:
    """Draw one data set."""
    rng = np.random.default_rng(seed)
    for index in range(N_TRAIN):
        save(root / f"train/good/{index:03}.png", draw(rng)[0])
    for index in range(N_TEST):
        image, part = draw(rng)
        save(root / f"test/good/{index:03}.png", with_spot(image, part, rng, on_part=False)[0] if index % 2 else image)
        image, part = draw(rng)
        image, mask = with_spot(image, part, rng, on_part=True)
        save(root / f"test/spot/{index:03}.png", with_spot(image, part, rng, on_part=False)[0] if index % 2 else image)
        save(root / f"ground_truth/spot/{index:03}_mask.png", mask * 255)


def draw_strip(rng: np.random.Generator) -> np.ndarray:
    """A woven strip whose brightness varies from place to place, (4096, 256)."""
    rows, columns = np.mgrid[: 16 * SIDE, :SIDE]
    weave = np.sin(rows / 2.2 + rng.uniform(0, 6)) * np.sin(columns / 2.2 + rng.uniform(0, 6))
    clouds = cv2.GaussianBlur(rng.normal(0, 1, rows.shape).astype(np.float32), (0, 0), 12)
    return 130 + 25 * weave + 15 * clouds / clouds.std() + rng.normal(0, 6, rows.shape)


def write_strips(root: Path, seed: int) -> None:
    """Draw one set of strips."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: 16 * SIDE, :SIDE]
    for index in range(20):
        save(root / f"train/good/{index:03}.png", draw_strip(rng))
    for index in range(10):
        save(root / f"test/good/{index:03}.png", draw_strip(rng))
        row, column = rng.integers(12, 16 * SIDE - 12), rng.integers(12, SIDE - 12)
        spot = (rows + 0.5 - row) ** 2 + (columns + 0.5 - column) ** 2 <= 9  # 6 px across
        save(root / f"test/spot/{index:03}.png", draw_strip(rng) - 60 * spot)
        save(root / f"ground_truth/spot/{index:03}_mask.png", spot * 255)


def place_of_spot(rng: np.random.Generator) -> np.ndarray:
    """(256, 256) bool, anywhere."""
    row, column = rng.integers(16, SIDE - 16, 2)
    return disc(row, column, (rng.integers(5, 8),) * 2)


def write_deep(root: Path, seed: int) -> None:
    """Draw one set of 12-bit images."""
    rng = np.random.default_rng(seed)

    def draw() -> np.ndarray:
        return 1200 + 120 * np.sin(COLUMNS / 9 + rng.uniform(0, 6)) + rng.normal(0, 8, (SIDE, SIDE))

    def save_deep(path: Path, counts: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(counts, 1000, 1400).round().astype(np.uint16)).save(path)

    for index in range(N_TRAIN):
        save_deep(root / f"train/good/{index:03}.png", draw())
    for index in range(N_TEST):
        save_deep(root / f"test/good/{index:03}.png", draw())
        spot = place_of_spot(rng)
        save_deep(root / f"test/spot/{index:03}.png", draw() + 30 * spot)
        save(root / f"ground_truth/spot/{index:03}_mask.png", spot * 255)


def write_infrared(root: Path, seed: int) -> None:
    """Draw one set of images of five channels in three files."""
    rng = np.random.default_rng(seed)

    def save_files(stem: Path, spot: np.ndarray | None) -> None:
        gray = texture(rng)
        colored = np.stack([gray, gray * 0.9, gray * 0.8], axis=2) + rng.normal(0, 4, (SIDE, SIDE, 3))
        near = 110 + 20 * np.sin(ROWS / 6 + rng.uniform(0, 6)) + rng.normal(0, 5, (SIDE, SIDE))
        depth = 60 + ROWS / 4 + rng.normal(0, 2, (SIDE, SIDE))
        save(stem.with_name(f"{stem.name}_rgb.png"), colored)
        save(stem.with_name(f"{stem.name}_nir.png"), near if spot is None else near + 50 * spot)
        save(stem.with_name(f"{stem.name}_depth.png"), depth)

    for index in range(N_TRAIN):
        save_files(root / f"train/good/{index:03}", None)
    for index in range(N_TEST):
        save_files(root / f"test/good/{index:03}", None)
        spot = place_of_spot(rng)
        save_files(root / f"test/spot/{index:03}", spot)
        save(root / f"ground_truth/spot/{index:03}_mask.png", spot * 255)


def save(path: Path, image: np.ndarray) -> None:
    """Write a PNG of 8 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(path)


def write_polygon(path: Path) -> None:
    """The outline of the part on the belt."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    corners = np.stack([SIDE / 2 + RADII[0] * np.cos(angles), SIDE / 2 + RADII[1] * np.sin(angles)], axis=1)
    path.write_text(f"polygons:\n- {json.dumps(corners.round(1).tolist())}\n", encoding="utf-8")


def main() -> None:
    """Draw all data sets."""
    if len(sys.argv) != 2:
        sys.exit("usage: python .ci/planted_sets.py FOLDER")
    root = Path(sys.argv[1])
    for seed in SEEDS:
        for name, draw in (("belt", draw_belt), ("tray", draw_tray)):
            write_set(root / f"{name}{seed}", draw, seed)
        write_polygon(root / f"belt{seed}" / "roi.yaml")
        write_strips(root / f"strip{seed}", seed)
        write_deep(root / f"deep{seed}", seed)
        write_infrared(root / f"infrared{seed}", seed)


if __name__ == "__main__":
    main()
