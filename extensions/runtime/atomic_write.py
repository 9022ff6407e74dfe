"""There whole or not at all, also when the process is killed: a file, or a folder of files that belong together."""

import errno
import glob
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from extensions.runtime.escaped import escaped, writable

ALIVE = "alive"  # lock that the operating system frees when its process is gone


def write_whole(path: Path, text: str | bytes) -> None:
    """Write bytes, or text as UTF-8 and line ends untouched; what was there stays until the last byte is on the disk.

    What UTF-8 does not take (bytes of file names that are not UTF-8) is escaped.

    Raises:
        OSError: It could not be written; the message names the file and the reason.
    """
    name = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(text if isinstance(text, bytes) else writable(text).encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException as error:
        if name:
            Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = (error.strerror or str(error)).lower()
            room = "make room there, or " if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else ""
            msg = f"{escaped(path)} could not be written: {reason}; {room}give another output folder"
            raise OSError(error.errno, msg) from error
        raise


@contextmanager
def whole_folder(output: Path, names: Collection[str]) -> Iterator[Path]:
    """A folder that takes the place of `output` when the block ends without an error.

    It lies beside `output` until then. What a process left there that was killed is removed, or, where it was killed
    between two renames, put back.

    Args:
        output: Folder to be written or replaced.
        names: See `check_replaceable`.

    Raises:
        ValueError: `output` is a file, or holds something else than these names.
        OSError: It cannot be written.
    """
    check_replaceable(output, names)
    output = output.resolve()
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        _sweep(output)
        work = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    except OSError as error:
        msg = f"{output}: nothing can be written there ({(error.strerror or str(error)).lower()}); give another folder"
        raise OSError(error.errno, msg) from error
    new, old = work / "new", work / "old"
    try:
        with FileLock(work / ALIVE):
            new.mkdir()
            yield new
            if output.exists():
                output.rename(old)
            new.rename(output)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        msg = f"{output} could not be written: no space left on device; make room there, or give another folder"
        raise OSError(error.errno, msg) from error
    finally:
        _put_back(old, output)
        shutil.rmtree(work, ignore_errors=True)


def check_replaceable(output: Path, names: Collection[str]) -> None:
    """Whether a folder can be written or replaced without losing anything else.

    Args:
        output: There or not.
        names: Of files that may be in it.

    Raises:
        ValueError: It is a file, or holds something else.
    """
    if output.exists() and not output.is_dir():
        msg = f"{output}: this is a file; give a folder for the exported model"
        raise ValueError(msg)
    others = sorted(one.name for one in output.iterdir() if one.name not in names) if output.exists() else []
    if others:
        msg = f"{output}: the folder holds {others[0]}, which is no part of an exported model; give an empty or new one"
        raise ValueError(msg)


def _sweep(output: Path) -> None:
    """Remove what killed processes left; a living one holds its lock."""
    for alive in output.parent.glob(f".{glob.escape(output.name)}.*/{ALIVE}"):
        try:
            with FileLock(alive, timeout=0):
                _put_back(alive.parent / "old", output)
                shutil.rmtree(alive.parent, ignore_errors=True)
        except Timeout:
            continue


def _put_back(old: Path, output: Path) -> None:
    if old.exists() and not output.exists():
        old.rename(output)
