"""Images of one size together: what a network computes at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np

Key = TypeVar("Key")

BATCH = 8  # images: large tensors of a model are read once a batch
BATCH_BYTES = 2**26  # of images: few large ones make a batch, too


def batches(images: Iterable[tuple[Key, np.ndarray]], size: int) -> Iterator[tuple[list[Key], np.ndarray | Exception]]:
    """Neighboring images of one size together, (n, H, W, 3); what is no image alone, as the error that says so."""
    keys: list[Key] = []
    group: list[np.ndarray] = []
    for key, image in images:
        error = not_an_image(image)
        full = len(group) >= max(1, min(size, BATCH_BYTES // max(1, group[0].nbytes))) if group else False
        if group and (full or error is not None or image.shape != group[0].shape):
            yield keys, np.stack(group)
            keys, group = [], []
        if error is not None:
            yield [key], error
            continue
        keys.append(key)
        group.append(image)
    if group:
        yield keys, np.stack(group)


def not_an_image(image: Any) -> Exception | None:
    """Why this is no image (H, W, 3) uint8; None for one. An error in its place says so itself."""
    if isinstance(image, Exception):
        return image
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        if image.size:
            return None
        return ValueError(f"the image has no pixels, {image.shape}")
    found = f"{image.dtype} of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
    return ValueError(f"expected an image of uint8, (height, width, 3) in RGB, found {found}")
