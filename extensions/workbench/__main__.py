"""The console script `workbench`: every command under one name; `python -m extensions.workbench` is the same."""

import difflib
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from extensions.workbench.table import GROUPS, SUBCOMMANDS

PROG = "workbench"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand by the command of its room.

    Returns:
        Its exit code; 2 for a command line that names none.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in {"-h", "--help", "help"}:
        print(usage(), end="")
        return 0 if given else 2
    if given[0] == "--version":
        print(version("anomaly-workbench"))
        return 0
    name, *rest = given
    if name not in SUBCOMMANDS:
        return _no_such(PROG, name, list(SUBCOMMANDS))
    asked = SUBCOMMANDS[name]
    prog = f"{PROG} {name}" if asked.alone or asked.choices else PROG
    if asked.choices:
        if rest and not rest[0].startswith("-") and rest[0] not in asked.choices:
            return _no_such(prog, rest[0], asked.choices)
        if not rest or rest[0] not in asked.choices:
            rest = [asked.choices[0], *rest]
    if arguments is None and asked.room == "inference":  # a service that is stopped loses no more than by Ctrl-C
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    return int(import_module(f"{asked.room}.__main__").main([*asked.arguments, *rest], prog=prog))


def usage() -> str:
    """The table of subcommands."""
    width = max(map(len, SUBCOMMANDS))
    lines = [f"usage: {PROG} SUBCOMMAND [options]", ""]
    for title, group in GROUPS.items():
        lines += [f"{title}:", *(f"  {one.name:<{width}}  {one.work}" for one in group), ""]
    lines += [
        f"{PROG} SUBCOMMAND --help shows its options and an example.",
        f"first steps: {PROG} run --config configs/benchmark/quickstart.yaml",
    ]
    return "\n".join(lines) + "\n"


def _no_such(prog: str, name: str, known: Sequence[str]) -> int:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
    print(f"{prog}: error: there is no subcommand {name!r}; {hint}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
