"""Made parts that lie turned and shifted: a plate of which no turn but one looks the same."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

SIDE = 96  # px


def plate(rng: np.random.Generator) -> np.ndarray:
    """(96, 96, 3) uint8: a bright plate with a slot, a hole and a corner cut off, with grain, on a dark ground."""
    image = np.full((SIDE, SIDE), 30.0)
    cv2.fillPoly(image, [np.array([[24, 30], [60, 30], [72, 42], [72, 66], [24, 66]])], 170)
    cv2.rectangle(image, (30, 38), (40, 58), 90, -1)
    cv2.circle(image, (60, 54), 6, 230, -1)
    image += rng.normal(0, 3, image.shape)
    return np.repeat(image.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def moved(image: np.ndarray, angle: float, shift: tuple[float, float], *, nearest: bool = False) -> np.ndarray:
    """Turned around its center by degrees and shifted by px."""
    matrix = cv2.getRotationMatrix2D(((SIDE - 1) / 2, (SIDE - 1) / 2), angle, 1.0)
    matrix[:, 2] += shift
    fill = 0 if nearest else (30, 30, 30)
    flags = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    return cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=flags, borderValue=fill)


def write_plates(root: Path, *, is_turned: bool = True, n_train: int = 8, n_test: int = 3) -> Path:
    """A data set in the layout of MVTec AD with a dark spot at one place of the plate of each defective image."""
    rng = np.random.default_rng(0)
    for folder, n_images in (("train/good", n_train), ("test/good", n_test), ("test/spot", n_test)):
        for index in range(n_images):
            image, mask = plate(rng), np.zeros((SIDE, SIDE), np.uint8)
            if folder == "test/spot":
                cv2.circle(mask, (48, 46), 4, 255, -1)
                image[mask > 0] = 20
            if is_turned:
                angle, shift = rng.uniform(-180, 180), tuple(rng.uniform(-5, 5, 2))
                image, mask = moved(image, angle, shift), moved(mask, angle, shift, nearest=True)
            save(root / folder / f"{index:03}.png", image)
            if folder == "test/spot":
                save(root / "ground_truth/spot" / f"{index:03}_mask.png", mask)
    return root


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
