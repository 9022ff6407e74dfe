"""Opens files once, side by side, and remembers what they hold."""

import functools
import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from extensions.cache.location import open_cache
from extensions.cache.store import WorkCache, key_of
from extensions.data.reading.decoded import FileKey, decoded_images, file_key
from extensions.data.reading.descriptors import describe_image
from extensions.data.reading.image_files import image_array, marking_of, open_stored, open_upright, reason
from extensions.data.reading.marking import Look
from extensions.data.reading.stored import Stored
from extensions.runtime.progress import progress_bar

VERSION = 7  # of the facts: raised when they would differ for the same file
FEW_COLORS = 4  # an image of so few is drawn
_N_NUMBERS = 9


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What one file holds; ``size`` is (width, height) px as displayed, None when it cannot be read.

    ``is_drawn``: of images, four colors at most; of masks, hardly any pixel lies between two values. Known of masks
    only: ``look``; ``is_lossy``, grey values were cut; ``share`` of the pixels that are marked. Of images only:
    ``stored``, what is to be told of how the file stores them; ``descriptor``, the bytes of `describe_image`.
    """

    sha256: str
    size: tuple[int, int] | None = None
    error: str = ""
    look: Look = Look.MARKED
    is_lossy: bool = False
    stored: Stored = field(default_factory=Stored)
    is_drawn: bool = False
    share: float = 0.0
    descriptor: bytes = b""

    @property
    def is_black(self) -> bool:
        """Whether a mask marks nothing."""
        return self.look == Look.BLACK


# A sweep meets the same files in many runs: a file is read again only when its size or time of change differs.
_known: dict[tuple[FileKey, bool], FileFacts] = {}


def inspect_files(
    paths: Iterable[str | Path], *, masks: bool = False, title: str = "checking files"
) -> dict[str, FileFacts]:
    """Read and fully decode each file, once a process; a progress bar shows after two seconds.

    Returns:
        For each path its facts. A file that is gone or unreadable has ``error`` set, and no sha256 when it is gone.
    """
    wanted = {str(path): (file_key(str(path)), masks) for path in paths}
    todo = [path for path, key in wanted.items() if key not in _known]
    facts: dict[str, FileFacts] = {}
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        done = pool.map(lambda path: _inspect(path, masks), todo)
        for path, fact in zip(todo, progress_bar(done, total=len(todo), title=title, unit="file"), strict=True):
            facts[path] = fact
            if fact.sha256:
                _known[wanted[path]] = fact
    return {path: facts[path] if path in facts else _known[key] for path, key in wanted.items()}


def _inspect(path: str, is_mask: bool) -> FileFacts:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        return FileFacts("", error=error.strerror or "cannot be opened")
    sha256 = hashlib.sha256(content).hexdigest()
    if (facts := _remembered(sha256, is_mask)) is not None:
        return facts
    try:
        if is_mask:
            image = open_upright(content)
            marking = marking_of(image)
            facts = FileFacts(
                sha256,
                image.size,
                look=marking.look,
                is_lossy=marking.is_cut,
                is_drawn=marking.is_crisp,
                share=marking.share,
            )
            return _remember(facts, is_mask)
        image, stored = open_stored(content)
        wanted = decoded_images.wanted
        if wanted or image.mode not in {"L", "RGB"}:  # the others may hold numbers that cannot be converted
            pixels = image_array(image)
            if wanted:
                decoded_images.offer(path, pixels)
            if image.mode not in {"L", "RGB"}:
                image = Image.fromarray(pixels)
    except Exception as error:  # Pillow raises many types for broken files; each becomes part of the report
        return FileFacts(sha256, error=reason(error))
    is_drawn = not stored.largest and image.getcolors(FEW_COLORS) is not None
    descriptor = describe_image(image).tobytes()
    return _remember(FileFacts(sha256, image.size, stored=stored, is_drawn=is_drawn, descriptor=descriptor), is_mask)


def _remembered(sha256: str, is_mask: bool) -> FileFacts | None:
    """Facts about a file of this content that could be read, from an earlier process."""
    found = facts_cache().get("facts", key_of(file=sha256, mask=is_mask, version=VERSION))
    if found is None or found.dtype != np.int64 or len(found) < _N_NUMBERS:
        return None
    width, height, look, is_lossy, largest, pages, channels, is_drawn, millionths = map(int, found[:_N_NUMBERS])
    return FileFacts(
        sha256,
        (width, height),
        look=Look(look),
        is_lossy=bool(is_lossy),
        stored=Stored(largest, pages, channels),
        is_drawn=bool(is_drawn),
        share=millionths / 1e6,
        descriptor=found[_N_NUMBERS:].tobytes(),
    )


def _remember(facts: FileFacts, is_mask: bool) -> FileFacts:
    assert facts.size is not None
    stored, share = facts.stored, round(facts.share * 1e6)
    told = (stored.largest, stored.pages, stored.channels)
    numbers = [*facts.size, facts.look.value, facts.is_lossy, *told, facts.is_drawn, share]
    assert len(numbers) == _N_NUMBERS
    values = np.concatenate([np.array(numbers, np.int64), np.frombuffer(facts.descriptor, np.int64)])
    facts_cache().put("facts", key_of(file=facts.sha256, mask=is_mask, version=VERSION), values)
    return facts


def facts_cache() -> WorkCache:
    """Where what files hold is kept for later processes."""
    return _open_cache(os.environ.get("WORKBENCH_CACHE"), os.environ.get("WORKBENCH_CACHE_LIMIT"))


@functools.lru_cache(maxsize=1)
def _open_cache(*_: str | None) -> WorkCache:
    """Opened once, and again when the environment names another."""
    return open_cache()
