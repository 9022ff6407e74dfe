"""What all commands share: an error is one line, and the exit code says how it went."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Callable

from extensions.downloads import download_error
from extensions.escaped import escaped, print_anything
from extensions.explained import is_ours


def is_debugging() -> bool:
    """Whether `$WORKBENCH_DEBUG` asks for tracebacks."""
    return os.environ.get("WORKBENCH_DEBUG", "") not in {"", "0"}


def exit_code(work: Callable[[], int], *, interrupted: str = "interrupted") -> int:
    """Do a command's work and return its exit code: 1 after an error, which is one line, 130 after Ctrl-C.

    Args:
        work: Returns the exit code when nothing is raised.
        interrupted: What the line after Ctrl-C says.

    Raises:
        Exception: What `work` raised, where `$WORKBENCH_DEBUG` asks for it, or where it is no error of the user's.
    """
    print_anything()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    warnings.filterwarnings("ignore", category=FutureWarning)  # anomalib's own, on every import
    try:
        return work()
    except KeyboardInterrupt:
        sys.stderr.write(f"{interrupted}\n")
        return 130
    except (OSError, RuntimeError, ValueError) as error:
        if is_debugging():
            raise
        sys.stderr.write(f"error: {' '.join(_sentence(error).split())}\n")
        return 1


def add_set_option(parser: argparse.ArgumentParser, example: str) -> None:
    """Add `--set K=V ...`, values that take the place of a config's, by their dotted keys; it may be given repeatedly.

    Args:
        parser: Of a command that reads a config.
        example: Such as `seed=1`, for its help.
    """
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="K=V", help=f"change the config, e.g. {example}"
    )


def _sentence(error: Exception) -> str:
    """The error's message; for one of the operating system that nobody has put into words, the file and what to do."""
    if not is_ours(error) and (found := download_error(error)):
        return found
    if not isinstance(error, OSError) or not str(error).startswith("[Errno"):
        return str(error)
    if error.filename is None:  # in words, of ours or of the system's
        return str(error.strerror)
    reason = (error.strerror or "cannot be used").lower()
    if isinstance(error, FileExistsError | NotADirectoryError):
        reason = f"{reason}, where a folder is expected; give another folder, or move the file away"
    elif isinstance(error, PermissionError):
        reason = f"{reason}; give a path you may read and write, or change its rights"
    return f"{escaped(os.fsdecode(error.filename))}: {reason}"
