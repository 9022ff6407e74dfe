"""Opens files once, side by side, and remembers what they hold."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

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
_known: dict[tuple[str, int, int, bool], FileFacts] = {}


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


def _key(path: str, masks: bool) -> tuple[str, int, int, bool]:
    try:
        stat = Path(path).stat()
    except OSError:
        return path, -1, -1, masks
    return path, stat.st_size, stat.st_mtime_ns, masks


def _inspect(path: str, is_mask: bool) -> FileFacts:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        return FileFacts("", error=error.strerror or "cannot be opened")
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        image = open_upright(content)
        if is_mask:
            array = mask_array(image)
            is_lossy = Path(path).suffix.lower() in {".jpg", ".jpeg"} and _has_grey(picture_array(image))
            return FileFacts(sha256, image.size, is_black=not array.any(), is_lossy=is_lossy)
        if image.mode not in {"L", "RGB"}:  # the others may hold numbers that cannot be converted
            picture_array(image)
    except Exception as error:  # Pillow raises many types for broken files; each becomes part of the report
        return FileFacts(sha256, error=reason(error))
    return FileFacts(sha256, image.size, is_dark=_is_dark(image))


def _is_dark(image: Image.Image) -> bool:
    return image.mode.startswith("I") and 255 < np.asarray(image).max() < 4096


def _has_grey(array: np.ndarray) -> bool:
    values = np.unique(array)
    return bool(((values > 0) & (values < values.max())).any())
