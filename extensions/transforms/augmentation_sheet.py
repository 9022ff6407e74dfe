"""A sheet of images and what each augmentation makes of them."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torchvision.transforms.v2.functional import resize, to_dtype, to_image

from extensions.data.reading.image_files import read_image
from extensions.transforms.drawing import draw_view
from extensions.transforms.named import augmentation
from extensions.transforms.settings import NAMES

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_GAP = 4  # px
_TITLE = 18  # px


def sample_images(path: Path, *, n: int) -> list[Path]:
    """The image, or of a folder at any depth the first `n` by name.

    Raises:
        ValueError: There is none.
    """
    if path.is_file():
        return [path]
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()) if path.is_dir() else []
    if not found:
        msg = f"{path}: no image found there, expected an image or a folder of them ({', '.join(SUFFIXES)})"
        raise ValueError(msg)
    return found[:n]


def views_sheet(paths: Sequence[Path], *, size: int = 256, n_views: int = 4, seed: int = 0) -> np.ndarray:
    """Draw images in rows, each augmentation in a column, as a detector would see them.

    Args:
        paths: Of the images.
        size: Side in px of an image as the detector sees it, which is what is augmented.
        n_views: Draws of each image, one below the other; some augmentations act every other time only.
        seed: Of the draws, as in a test.

    Returns:
        (height, width, 3) uint8.
    """
    width = size + _GAP
    head = np.full((_TITLE, width * len(NAMES), 3), 255, np.uint8)
    scale = min(0.45, size / 300)
    for place, name in enumerate(NAMES):
        cv2.putText(head, name, (place * width + 2, _TITLE - 5), 0, scale, (0, 0, 0), 1, cv2.LINE_AA)
    rows = [head]
    for path in paths:
        image = to_dtype(to_image(read_image(path)), torch.float32, scale=True)
        image = resize(image, [size, size], antialias=True)  # as the default pre-processor does
        for number in range(n_views):
            views = [
                draw_view(augmentation(name), image, None, name=path.name, seed=(seed, 1, number)).image
                for name in NAMES
            ]
            rows.append(np.concatenate([_cell(view) for view in views], axis=1))
    return np.concatenate(rows)  # (height, width, 3)


def _cell(view: torch.Tensor) -> np.ndarray:
    pixels = (view.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()  # (H, W, 3)
    return np.pad(pixels, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255)
