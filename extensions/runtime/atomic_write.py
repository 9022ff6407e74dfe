"""A text file that is there whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from extensions.runtime.escaped import escaped, writable


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
