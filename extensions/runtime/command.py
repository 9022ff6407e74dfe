"""What all commands share: help with an example, an error in one line, an exit code, and what to do next."""

import argparse
import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

from extensions.runtime.downloads import download_error
from extensions.runtime.escaped import escaped, print_anything
from extensions.runtime.explained import is_ours
from extensions.runtime.quiet import is_debugging, set_up_output

SCRIPT = "workbench"


class HelpFormatter(argparse.HelpFormatter):
    """argparse's, but that paragraphs stay apart and lines that are set in, such as examples, stay as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        parts = text.split("\n\n")
        kept = [part if "\n  " in part else textwrap.fill(" ".join(part.split()), width) for part in parts]
        return textwrap.indent("\n\n".join(kept), indent)


def set_help(parser: argparse.ArgumentParser, text: str, *, example: str, notes: str = "") -> None:
    """Give a command's help what it is for, and an example that works as it stands from the project's folder on.

    Args:
        parser: Of the command.
        text: One sentence or two.
        example: Its arguments.
        notes: What stands between options and example.
    """
    parser.formatter_class = HelpFormatter
    parser.description = text
    parser.epilog = f"{notes}\n\nexample:\n  %(prog)s {example}".strip()


def add_data_root_option(parser: argparse.ArgumentParser) -> None:
    """Add `--data-root DIR`, which is handed on to whatever opens data."""
    parser.add_argument(
        "--data-root", type=Path, metavar="DIR", help="where relative folders of data start (else $WORKBENCH_DATA)"
    )


def same_data(options: argparse.Namespace) -> list[object]:
    """The options by which another command reads the same configuration, for `workbench`."""
    given: list[object] = ["--config", options.config]
    if options.data_root:
        given += ["--data-root", options.data_root]
    return given + (["--set", *options.set] if options.set else [])


def workbench(*arguments: object) -> str:
    """A command to type next, as this shell and this working directory take it.

    Args:
        arguments: Of the console script; words in capitals stand for what the user puts there.
    """
    return shlex.join([*_script(), *map(str, arguments)])


def _script() -> list[str]:
    """How the console script is called: by its name where the shell finds it, else by its path."""
    beside = Path(sys.executable).parent / SCRIPT
    found = shutil.which(SCRIPT)
    if found and Path(found).resolve() == beside.resolve():
        return [SCRIPT]
    if beside.exists():
        here = Path.cwd()
        return [str(beside.relative_to(here) if beside.is_relative_to(here) else beside)]
    return ["python", "-m", "extensions.workbench"]


def exit_code(work: Callable[[], int], *, interrupted: str = "interrupted", in_lines: bool = False) -> int:
    """Do a command's work and return its exit code: 1 after an error, which is one line, 130 after Ctrl-C.

    Args:
        work: Returns the exit code when nothing is raised.
        interrupted: What the line after Ctrl-C says.
        in_lines: Whether an error may be a list, a problem a line.

    Raises:
        Exception: What `work` raised, where `$WORKBENCH_DEBUG` asks for it, or where it is no error of the user's.
    """
    print_anything()
    set_up_output()
    try:
        return work()
    except KeyboardInterrupt:
        sys.stderr.write(f"{interrupted}\n")
        return 130
    except (OSError, RuntimeError, ValueError) as error:
        if is_debugging():
            raise
        text = _sentence(error)
        sys.stderr.write(f"error: {text if in_lines else ' '.join(text.split())}\n")
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
