"""What keeps a report from being written."""

from __future__ import annotations

from pathlib import Path


class ReportError(RuntimeError):
    """A table could not be written; the records are untouched."""


def check_closed(path: Path) -> None:
    """Whether no spreadsheet program has a file open.

    Raises:
        ReportError: One has; the reason without the name of the file.
    """
    for lock in (path.with_name(f"~${path.name}"), path.with_name(f".~lock.{path.name}#")):
        if lock.exists():
            msg = f"it is open in a spreadsheet program (close it there; if it is not open, delete {lock.name})"
            raise ReportError(msg)
