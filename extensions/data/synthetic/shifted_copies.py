"""A defect that recurs: copies of one image, each a little shifted and turned."""

from pathlib import Path

import cv2
import numpy as np

from extensions.data.reading.image_files import read_image
from extensions.data.synthetic.drawn_images import save_png
from extensions.runtime.built_folders import build_once

MAX_SHIFT = 0.03  # of width and of height
MAX_ANGLE = 3.0  # degrees
_VERSION = 1  # raised when a copy would look different


def shifted_copies(source: Path, content: str, n_copies: int, *, seed: int) -> list[Path]:
    """Copies of an image, drawn once into the cache folder (``$WORKBENCH_CACHE``).

    Args:
        source: file to copy.
        content: its sha256, by which the copies are named.
        n_copies: how many; 0 draws nothing.
        seed: of the shifts; the k-th copy does not depend on ``n_copies``.

    Returns:
        PNG files of 8 bits, as large as the image is displayed.
    """
    if not n_copies:
        return []
    names = [f"{content[:16]}-{number:03d}.png" for number in range(1, n_copies + 1)]

    def write(folder: Path) -> None:
        image = read_image(source)
        for number, name in enumerate(names, start=1):
            save_png(folder / name, shifted(image, np.random.default_rng([seed, number, int(content[:16], 16)])))

    parameters = {"version": _VERSION, "content": content, "n_copies": n_copies, "seed": seed}
    folder = build_once("recurring", parameters, write)
    return [folder / name for name in names]


def shifted(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shift and turn (H, W, 3) uint8 by up to `MAX_SHIFT` and `MAX_ANGLE`; what comes in is the mirrored border."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), rng.uniform(-MAX_ANGLE, MAX_ANGLE), 1.0)
    matrix[:, 2] += rng.uniform(-MAX_SHIFT, MAX_SHIFT, 2) * (width, height)
    # Cubic: the linear kernel would blur every copy visibly, and blur is not what recurs.
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
