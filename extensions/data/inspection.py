"""Opens files once, side by side, and remembers what they hold."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from extensions.cache.store import WorkCache, key_of, open_cache
from extensions.data.decoded import FileKey, decoded_pictures, file_key
from extensions.data.reading import mask_array, open_upright, picture_array, reason


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What one file holds; ``size`` is (width, height) px as displayed, None when it cannot be read.

    ``is_black`` and ``is_lossy`` are known of masks only: nothing is marked; JPEG noise beside full black and white.
    ``is_dark``, of pictures only: 16 bits of which the highest four are never used.
    """

    sha256: str
    size: tuple[int, int] | None = None
    error: str = ""
    is_black: bool = False
    is_lossy: bool = False
    is_dark: bool = False


# A sweep meets the same files in many runs: a file is read again only when its size or time of change differs.
_known: dict[tuple[FileKey, bool], FileFacts] = {}


def inspect_files(
    paths: Iterable[str | Path], *, masks: bool = False, title: str = "checking files"
) -> dict[str, FileFacts]:
    """Read and fully decode each file, once a process; a progress bar shows after two seconds.

    Returns:
        For each path its facts. A file that is gone or unreadable has ``error`` set, and no sha256 when it is gone.
    """
    wanted = {str(path): _key(str(path), masks) for path in paths}
    todo = [path for path, key in wanted.items() if key not in _known]
    facts: dict[str, FileFacts] = {}
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        done = pool.map(lambda path: _inspect(path, masks), todo)
        for path, fact in zip(
            todo, tqdm(done, total=len(todo), desc=title, unit="file", delay=2, leave=False), strict=True
        ):
            facts[path] = fact
            if fact.sha256:
                _known[wanted[path]] = fact
    return {path: facts[path] if path in facts else _known[key] for path, key in wanted.items()}


def _key(path: str, masks: bool) -> tuple[FileKey, bool]:
    return file_key(path), masks


def _inspect(path: str, is_mask: bool) -> FileFacts:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        return FileFacts("", error=error.strerror or "cannot be opened")
    sha256 = hashlib.sha256(content).hexdigest()
    if (facts := _remembered(sha256, is_mask)) is not None:
        return facts
    try:
        image = open_upright(content)
        if is_mask:
            array = mask_array(image)
            is_lossy = Path(path).suffix.lower() in {".jpg", ".jpeg"} and _has_grey(picture_array(image))
            return _remember(FileFacts(sha256, image.size, is_black=not array.any(), is_lossy=is_lossy), is_mask)
        wanted = decoded_pictures.wanted
        if wanted or image.mode not in {"L", "RGB"}:  # the others may hold numbers that cannot be converted
            picture = picture_array(image)
            if wanted:
                decoded_pictures.offer(path, picture)
    except Exception as error:  # Pillow raises many types for broken files; each becomes part of the report
        return FileFacts(sha256, error=reason(error))
    return _remember(FileFacts(sha256, image.size, is_dark=_is_dark(image)), is_mask)


def _remembered(sha256: str, is_mask: bool) -> FileFacts | None:
    """Facts about a file of this content that could be read, from an earlier process."""
    found = _cache().get("facts", key_of(file=sha256, mask=is_mask, version=1))
    if found is None or found.shape != (5,):
        return None
    width, height, *flags = map(int, found)
    return FileFacts(sha256, (width, height), "", *map(bool, flags))


def _remember(facts: FileFacts, is_mask: bool) -> FileFacts:
    assert facts.size is not None
    values = np.array([*facts.size, facts.is_black, facts.is_lossy, facts.is_dark], np.int64)
    _cache().put("facts", key_of(file=facts.sha256, mask=is_mask, version=1), values)
    return facts


def _cache() -> WorkCache:
    return _open_cache(os.environ.get("WORKBENCH_CACHE"), os.environ.get("WORKBENCH_CACHE_LIMIT"))


@functools.lru_cache(maxsize=1)
def _open_cache(*_: str | None) -> WorkCache:
    """Opened once, and again when the environment names another."""
    return open_cache()


def _is_dark(image: Image.Image) -> bool:
    return image.mode.startswith("I") and 255 < np.asarray(image).max() < 4096


def _has_grey(array: np.ndarray) -> bool:
    values = np.unique(array)
    return bool(((values > 0) & (values < values.max())).any())
