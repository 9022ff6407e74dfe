"""Parts that lie as they fall, for configs/benchmark/turned.yaml: `python .ci/turned_sets.py BOTTLE FOLDER` makes them.

BOTTLE is the category bottle of MVTec AD. FOLDER gets five data sets in the layout of MVTec AD:

- `bottle_upright`: its images in a frame wider by an eighth, at 448 x 448 px; `bottle_turned`: the same, each turned
  around its center by an angle of its own, any of 360 degrees, its mask by the same one; `bottle_fallen`: turned, and
  shifted by up to 5 % of the side. What comes into the frame has the median color of the image's rim, which is the
  plate that the bottle stands on.
- `cell_upright`: mono-crystalline solar cells of ELPV (200 good ones to train on, 100 good and 100 defective to test)
  in the middle of a dark frame of 432 x 432 px, in which no corner is cut off; `cell_turned`: turned likewise.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from extensions.data.datamodules.elpv import choose_cells, package_folder

SEED = 0
BOTTLE_SIDE, CELL_SIDE = 448, 432  # px
DARK = 5  # gray level around a cell
WIDER = 1.125  # times, the frame around a bottle
MOST_SHIFT = 0.05  # of the side


def moved(
    image: np.ndarray,
    *,
    angle: float,
    shift: tuple[float, float] = (0.0, 0.0),
    side: int,
    fill: tuple[float, ...],
    nearest: bool = False,
) -> np.ndarray:
    """A square image (H, H[, 3]) in the middle of a frame, turned by degrees and shifted by parts of its side."""
    center = (image.shape[0] - 1) / 2
    matrix = cv2.getRotationMatrix2D((center, center), angle, 1.0)
    matrix[:, 2] += (side - image.shape[0]) / 2 + np.array(shift) * side
    flags = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    return cv2.warpAffine(image, matrix, (side, side), flags=flags, borderValue=fill)


def color_of_rim(image: np.ndarray) -> tuple[float, ...]:
    """Median color of the outermost pixels of (H, W, 3)."""
    rim = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return tuple(map(float, np.median(rim, axis=0)))


def write_bottles(source: Path, root: Path) -> None:
    """The upright, the turned and the fallen bottles."""
    rng = np.random.default_rng(SEED)
    for path in sorted(source.glob("t*/*/*.png")):
        name = path.relative_to(source)
        image = np.asarray(Image.open(path).convert("RGB"))
        angle, shift = rng.uniform(0, 360), tuple(rng.uniform(-MOST_SHIFT, MOST_SHIFT, 2))
        mask_name = Path("ground_truth") / name.parent.name / f"{name.stem}_mask.png"
        mask = np.asarray(Image.open(source / mask_name).convert("L")) if (source / mask_name).is_file() else None
        side = round(WIDER * image.shape[0])
        ways: dict[str, dict[str, Any]] = {
            "upright": {"angle": 0.0},
            "turned": {"angle": angle},
            "fallen": {"angle": angle, "shift": shift},
        }
        for kind, way in ways.items():
            folder = root / f"bottle_{kind}"
            save(folder / name, moved(image, side=side, fill=color_of_rim(image), **way), BOTTLE_SIDE)
            if mask is not None:
                marks = moved(mask, side=side, fill=(0,), nearest=True, **way)
                save(folder / mask_name, marks, BOTTLE_SIDE, nearest=True)


def write_cells(root: Path) -> None:
    """The upright and the turned solar cells."""
    rng = np.random.default_rng(SEED)
    chosen = choose_cells(package_folder(), "mono", n_train=200, n_test=200, seed=SEED)
    parts = {"train/good": chosen.train, "test/good": chosen.good, "test/defective": chosen.defective}
    for part, paths in parts.items():
        for path in paths:
            cell = np.asarray(Image.open(path).convert("L"))
            for kind, angle in (("upright", 0.0), ("turned", rng.uniform(0, 360))):
                image = moved(cell, angle=angle, side=CELL_SIDE, fill=(DARK,))
                save(root / f"cell_{kind}" / part / path.name, image, CELL_SIDE)


def save(path: Path, image: np.ndarray, side: int, *, nearest: bool = False) -> None:
    """Write a PNG of 8 bits and so many px."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if image.shape[0] != side:
        image = cv2.resize(image, (side, side), interpolation=cv2.INTER_NEAREST if nearest else cv2.INTER_AREA)
    Image.fromarray(image).save(path)


def main() -> None:
    """Make all data sets."""
    if len(sys.argv) != 3:
        sys.exit("usage: python .ci/turned_sets.py BOTTLE FOLDER")
    write_bottles(Path(sys.argv[1]), Path(sys.argv[2]))
    write_cells(Path(sys.argv[2]))


if __name__ == "__main__":
    main()
