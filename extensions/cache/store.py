"""A folder of arrays found again by what they were made from; it may be deleted at any time."""

import errno
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout

logger = logging.getLogger(__name__)

KINDS = ("facts", "images", "masks", "features", "banks", "selections")
DEFAULT_LIMIT = 20 * 2**30  # bytes
RESERVE = 2**30  # bytes of the disk that the cache leaves free
NOTED = b"\0seconds"  # ends a file that says behind its array what that took
STALE = 3600  # s after which a file that was never finished is removed


@dataclass(frozen=True)
class KindInfo:
    """How much of one kind the cache holds."""

    kind: str
    n_entries: int
    n_bytes: int


class WorkCache:
    """Arrays by kind and key, each in a file of its own that appears whole, by one rename, or not at all.

    A key is a hash over everything that decides the array, so an entry is never out of date; whatever cannot be read
    back is taken for absent. Any number of processes may use one folder. When the entries exceed the limit those
    that were used longest ago are removed.

    Args:
        folder: Of the entries; None for a cache that keeps nothing.
        limit: Bytes that the entries may take.
    """

    def __init__(self, folder: Path | None, *, limit: int = DEFAULT_LIMIT) -> None:
        self.folder = folder
        self.limit = limit
        self._unseen = limit  # bytes written since the entries were last counted; the first write counts them

    @property
    def enabled(self) -> bool:
        """Whether anything is kept."""
        return self.folder is not None

    def get(self, kind: str, key: str) -> np.ndarray | None:
        """The array, mapped from its file and read-only, or None."""
        if self.folder is None:
            return None
        path = self._path(kind, key)
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError):  # damaged: by a disk that was full, a machine that lost power
            _remove(path)
            return None

    def has(self, kind: str, key: str) -> bool:
        """Whether the entry is there; marks it as used."""
        if self.folder is None:
            return False
        try:
            os.utime(self._path(kind, key))
        except OSError:
            return False
        return True

    def put(self, kind: str, key: str, array: np.ndarray) -> None:
        """Keep an array; one that cannot be kept costs nothing but the work to make it again."""
        if self.folder is None:
            return
        path = self._path(kind, key)
        temporary = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=".unfinished-", dir=self.folder)
            with os.fdopen(handle, "wb") as file:
                np.save(file, array, allow_pickle=False)
            Path(temporary).replace(path)
        except OSError as error:
            if temporary:
                _remove(Path(temporary))
            self._give_up(error)
            return
        self._unseen += array.nbytes
        if self._unseen > max(self.limit // 20, 1):
            self.make_room()

    def note(self, kind: str, key: str, numbers: Sequence[float]) -> None:
        """Write some numbers behind the array of an entry, if it is there and bears none yet; no reader sees them."""
        if self.folder is None or not len(numbers):
            return
        content = np.asarray(numbers, "<f8").tobytes()
        try:
            with self._path(kind, key).open("r+b") as file:
                if _note_in(file) is None:
                    file.seek(0, os.SEEK_END)
                    file.write(content + len(content).to_bytes(8, "little") + NOTED)
        except OSError:  # it is gone, or the disk is full: the time is not known then
            logger.debug("cannot note the cost of %s", key, exc_info=True)

    def noted(self, kind: str, key: str) -> np.ndarray | None:
        """The numbers behind the array of an entry, or None."""
        if self.folder is None:
            return None
        try:
            with self._path(kind, key).open("rb") as file:
                return _note_in(file)
        except OSError:
            return None

    def remove(self, kind: str, key: str) -> None:
        """Remove an entry, if it is there."""
        if self.folder is not None:
            _remove(self._path(kind, key))

    def room_for(self, n_bytes: int) -> bool:
        """Whether so much more can be kept at once, within the limit and on the disk."""
        if self.folder is None or n_bytes > self.limit:
            return False
        try:
            free = shutil.disk_usage(self.folder).free
        except OSError:
            return False
        return n_bytes + RESERVE < free + sum(info.n_bytes for info in self.info())

    def lock(self, work: str, key: str = "") -> FileLock:
        """A lock between processes, for work on a key that only one of them is to do; a few keys share each."""
        assert self.folder is not None
        return FileLock(self.folder / f".{work}{key[:2]}.lock")

    def info(self) -> list[KindInfo]:
        """How much of each kind there is."""
        found = {kind: [0, 0] for kind in KINDS}
        for kind, _, size, _ in self._entries():
            found[kind][0] += 1
            found[kind][1] += size
        return [KindInfo(kind, n, size) for kind, (n, size) in found.items()]

    def clear(self) -> int:
        """Remove all entries and return the bytes that became free."""
        freed = 0
        for _, path, size, _ in list(self._entries()):
            freed += size
            _remove(path)
        self._remove_unfinished(older_than=0)
        return freed

    def make_room(self) -> None:
        """Remove what was used longest ago until a tenth of the limit is free."""
        if self.folder is None:
            return
        self._unseen = 0
        with suppress(Timeout), self.lock("eviction").acquire(timeout=0):  # else another process is at it
            self._remove_unfinished(older_than=STALE)
            entries = sorted(self._entries(), key=lambda entry: entry[3])
            total = sum(size for _, _, size, _ in entries)
            if total > self.limit:
                for _, path, size, _ in entries:
                    if total <= self.limit * 0.9:
                        break
                    _remove(path)
                    total -= size

    def _path(self, kind: str, key: str) -> Path:
        assert self.folder is not None
        return self.folder / kind / key[:2] / f"{key}.npy"

    def _entries(self) -> Iterator[tuple[str, Path, int, float]]:
        """Kind, path, bytes and time of last use of every entry."""
        if self.folder is None:
            return
        for kind in KINDS:
            for shard in _listed(self.folder / kind):
                for entry in _listed(Path(shard.path)):
                    try:
                        stat = entry.stat()
                    except OSError:
                        continue
                    yield kind, Path(entry.path), stat.st_size, stat.st_mtime

    def _remove_unfinished(self, *, older_than: float) -> None:
        assert self.folder is not None
        for path in self.folder.glob(".unfinished-*"):
            try:
                if time.time() - path.stat().st_mtime >= older_than:
                    _remove(path)
            except OSError:
                continue

    def _give_up(self, error: OSError) -> None:
        """Keep nothing more in this process."""
        if error.errno == errno.ENOSPC:
            reason, remedy = "the disk is full", "free some space, or set $WORKBENCH_CACHE to a folder that has it"
        else:
            reason, remedy = error.strerror or str(error), "set $WORKBENCH_CACHE to a writable folder"
        logger.warning("%s: nothing more is cached (%s); results stay the same; %s", self.folder, reason, remedy)
        self.folder = None


def key_of(**facts: Any) -> str:
    """The hash of what decides an entry."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _note_in(file: BinaryIO) -> np.ndarray | None:
    """The numbers at the end of an entry's file."""
    tail = 8 + len(NOTED)
    if file.seek(0, os.SEEK_END) < tail:
        return None
    file.seek(-tail, os.SEEK_END)
    size = int.from_bytes(file.read(8), "little")
    if file.read() != NOTED:
        return None
    file.seek(-tail - size, os.SEEK_END)
    return np.frombuffer(file.read(size), "<f8")


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        logger.debug("cannot remove %s", path, exc_info=True)
