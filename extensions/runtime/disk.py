"""A full disk, told in one sentence: which file, how much it needs, what to do."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the operating system answers when a disk, a quota or a file has no room left."""


class DiskFullError(OSError):
    """A file could not be written for lack of room: it ends a sweep, for the next run would end the same way."""


@contextmanager
def room_for(path: Path, n_bytes: int | None = None) -> Iterator[None]:
    """Tell of a full disk in one sentence when the block that writes `path` runs into it.

    Args:
        path: File that is written, or the folder when there are several.
        n_bytes: How much it needs, None when that is not known.

    Raises:
        DiskFullError: The block failed for lack of room.
    """
    try:
        yield
    except DiskFullError:
        raise
    except Exception as error:
        reason = lack_of_room(error)
        if reason is None:
            raise
        known = reason.filename if n_bytes is None and isinstance(reason.filename, str) else path
        raise DiskFullError(_sentence(Path(known), n_bytes, reason)) from error


def lack_of_room(error: BaseException | None) -> OSError | None:
    """The operating system's own error when it is at the bottom of this one, None for any other failure."""
    while error is not None:
        if isinstance(error, DiskFullError) or (isinstance(error, OSError) and error.errno in FULL):
            return error
        error = error.__cause__ or error.__context__
    return None


def _sentence(path: Path, n_bytes: int | None, reason: OSError) -> str:
    needed = "" if n_bytes is None else f"it needs {_size(n_bytes)}, "
    return (
        f"{path} could not be written: {os.strerror(reason.errno or errno.ENOSPC).lower()} ({needed}"
        f"{_free(path)} free on that disk); make room there or give another folder by --output: finished runs are "
        "kept, the same command goes on where it stopped"
    )


def _free(path: Path) -> str:
    for folder in (path, *path.parents):
        if folder.is_dir():
            return _size(shutil.disk_usage(folder).free)
    return "nothing"


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 1e5 else f"{n_bytes / 1e3:.1f} kB"
