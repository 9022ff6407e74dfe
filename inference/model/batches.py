"""Pictures of one size together: what a network computes at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np

Key = TypeVar("Key")

BATCH = 8  # pictures: large tensors of a model are read once a batch
BATCH_BYTES = 2**26  # of pictures: few large ones make a batch, too


def batches(
    pictures: Iterable[tuple[Key, np.ndarray]], size: int
) -> Iterator[tuple[list[Key], np.ndarray | ValueError]]:
    """Neighboring pictures of one size together, (n, H, W, 3); what is no picture alone, as the error that says so."""
    keys: list[Key] = []
    group: list[np.ndarray] = []
    for key, picture in pictures:
        error = _not_a_picture(picture)
        full = len(group) >= max(1, min(size, BATCH_BYTES // max(1, group[0].nbytes))) if group else False
        if group and (full or error is not None or picture.shape != group[0].shape):
            yield keys, np.stack(group)
            keys, group = [], []
        if error is not None:
            yield [key], error
            continue
        keys.append(key)
        group.append(picture)
    if group:
        yield keys, np.stack(group)


def _not_a_picture(picture: Any) -> ValueError | None:
    if isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3:
        if picture.size:
            return None
        return ValueError(f"the picture has no pixels, {picture.shape}")
    found = f"{picture.dtype} of shape {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
    return ValueError(f"expected a picture of uint8, (height, width, 3) in RGB, found {found}")
