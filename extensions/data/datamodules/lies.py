"""How the images of files lie on a template, found once for each content."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import numpy as np

from extensions.cache.location import open_cache
from extensions.cache.store import WorkCache, key_of
from extensions.data.alignment.registration import Lie
from extensions.data.checks.inspection import inspect_files
from extensions.data.imaging import Imaging
from extensions.data.reading.pixels import read_pixels
from extensions.data.straightening import lie_in
from extensions.runtime.cache_folder import cache_folder

VERSION = 4  # raised when the same image would be found to lie otherwise
REMEMBERED = 100_000  # images of a process; a few bytes each


def lie_of_file(path: str | Path, imaging: Imaging, pixels: np.ndarray | None = None) -> Lie:
    """How an image lies on the template of its data set.

    Args:
        path: Of the image's first file.
        imaging: Of the data set; its `alignment` is set.
        pixels: The image as `read_pixels` gives it, where it is at hand.

    Raises:
        ValueError: The image is of another shape than the template; the file is named.
    """
    assert imaging.alignment is not None
    files = [path] if imaging.channels is None else imaging.channels.files_of(path)
    facts = inspect_files(files)
    key = key_of(
        lie="+".join(facts[str(file)].sha256 for file in files),
        alignment=imaging.alignment.sha256,
        how=f"{imaging.range} {imaging.channels}",
        version=VERSION,
    )
    cache = _cache(cache_folder(), os.environ.get("WORKBENCH_CACHE_LIMIT", ""))
    if (known := _remembered(key)) is not None:
        return known
    if (stored := cache.get("facts", key)) is not None:
        found = Lie(np.array(stored[:6]).reshape(2, 3), float(stored[6]))
    else:
        try:
            found = lie_in(read_pixels(path, imaging) if pixels is None else pixels, imaging)
        except ValueError as error:
            msg = f"{path}: {error}"
            raise ValueError(msg) from error
        cache.put("facts", key, np.array([*found.matrix.ravel(), found.correlation]))
    _memory()[key] = found
    return found


def _remembered(key: str) -> Lie | None:
    known = _memory()
    if len(known) > REMEMBERED:
        known.clear()
    return known.get(key)


@lru_cache(maxsize=4)
def _cache(folder: Path, limit: str) -> WorkCache:
    """One for all images: the first entry that a cache takes has it count those that are there."""
    del folder, limit  # they only tell one cache from another
    return open_cache()


@lru_cache(maxsize=1)
def _memory() -> dict[str, Lie]:
    return {}
