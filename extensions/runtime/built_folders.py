"""Whole folders in the cache folder that are built once: written at one stroke or not at all."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from extensions.runtime.cache_folder import cache_folder

_LIST = "files.json"


def is_built(path: str | Path) -> bool:
    """Whether a file lies in the cache folder, so that `build_once` has made it."""
    return Path(path).is_relative_to(cache_folder())


def build_once(name: str, parameters: Mapping[str, Any], write: Callable[[Path], None]) -> Path:
    """Return a cached folder with the files that ``write`` puts into it.

    The folder's name is a hash of ``parameters``. It appears whole, by one rename, with a list of its files' hashes;
    a folder that does not match its list is built anew. Processes wait for each other.

    Args:
        name: the part of the cache this belongs to.
        parameters: all that decides the content; JSON-able.
        write: fills the empty folder it is given; must be deterministic.

    Raises:
        OSError: the cache cannot be written; the message names ``$WORKBENCH_CACHE``.
    """
    text = json.dumps(dict(parameters), sort_keys=True, ensure_ascii=False)
    folder = cache_folder() / name / hashlib.sha256(text.encode()).hexdigest()[:16]
    with _locked(folder):
        if not _is_whole(folder):
            _build(folder, write)
    return folder


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = FileLock(f"{folder}.lock")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        reason = error.strerror or error
        msg = f"cannot write drawn images to {folder.parent} ({reason}); set $WORKBENCH_CACHE to a writable folder"
        raise OSError(msg) from error
    try:
        yield
    finally:
        lock.release()


def _build(folder: Path, write: Callable[[Path], None]) -> None:
    # The lock is ours, so what lies there was left by a process that was killed, or was damaged.
    for left in folder.parent.glob(f".{folder.name}-*"):
        shutil.rmtree(left, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write(temporary)
        (temporary / _LIST).write_text(json.dumps(_hashes(temporary), indent=0, sort_keys=True), encoding="utf-8")
        if folder.exists():
            folder.replace(temporary.with_name(f"{temporary.name}-damaged"))
        temporary.replace(folder)
    finally:
        for left in folder.parent.glob(f".{folder.name}-*"):
            shutil.rmtree(left, ignore_errors=True)


def built_bytes() -> dict[str, int]:
    """Bytes of what `build_once` has left, by the part of the cache."""
    parts = (part for part in cache_folder().glob("*") if next(part.glob(f"*/{_LIST}"), None))
    return {part.name: sum(path.stat().st_size for path in part.rglob("*") if path.is_file()) for part in sorted(parts)}


def clear_built(name: str) -> int:
    """Remove a part of the cache that nobody reads for longer than it takes to load; the bytes that became free."""
    freed = built_bytes().get(name, 0)
    for listed in sorted((cache_folder() / name).glob(f"*/{_LIST}")):
        with _locked(listed.parent):
            shutil.rmtree(listed.parent, ignore_errors=True)
    return freed


def _is_whole(folder: Path) -> bool:
    try:
        listed = json.loads((folder / _LIST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return listed == _hashes(folder)


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _LIST)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
