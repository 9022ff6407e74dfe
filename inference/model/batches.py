"""Images of one size together: what a network computes at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np

Key = TypeVar("Key")

BATCH = 8  # images: large tensors of a model are read once a batch
BATCH_BYTES = 2**26  # of images: few large ones make a batch, too


def batches(
    images: Iterable[tuple[Key, np.ndarray]], size: int, *, dtype: str = "uint8", n_channels: int = 3
) -> Iterator[tuple[list[Key], np.ndarray | Exception]]:
    """Neighboring images of one size together, (n, H, W, C); what is no image alone, as the error that says so."""
    keys: list[Key] = []
    group: list[np.ndarray] = []
    for key, image in images:
        error = not_an_image(image, dtype, n_channels)
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


def not_an_image(image: Any, dtype: str = "uint8", n_channels: int = 3) -> Exception | None:
    """Why this is no image (H, W, C) of such numbers; None for one. An error in its place says so itself."""
    if isinstance(image, Exception):
        return image
    if isinstance(image, np.ndarray) and image.dtype == dtype and image.ndim == 3 and image.shape[2] == n_channels:
        if image.size:
            return None
        return ValueError(f"the image has no pixels, {image.shape}")
    found = f"{image.dtype} of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
    what = f"{n_channels}) in RGB" if dtype == "uint8" and n_channels == 3 else f"{n_channels}) as its files hold it"
    return ValueError(f"expected an image of {dtype}, (height, width, {what}, found {found}")
