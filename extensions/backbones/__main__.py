"""`python -m extensions.backbones list | readme`: what is available here, and the text of weights/README.md."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from extensions.runtime.command import exit_code, set_help
from extensions.runtime.escaped import print_anything


def main(arguments: Sequence[str] | None = None, *, prog: str = "python -m extensions.backbones") -> int:
    """Run the command, called `prog`; returns the exit code."""
    print_anything()
    parser = argparse.ArgumentParser(prog=prog, description="Backbones and their weights: list | readme.")
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser(
        "list",
        help="what is available here, where it would come from, layers, channels, strides",
    )
    set_help(
        show,
        "Backbones of weights/manifest.yaml and architectures of our own. Any other timm name works too. "
        "Nothing is downloaded.",
        example="--json",
    )
    show.add_argument("--json", action="store_true", help="for programs")
    write = commands.add_parser("readme", help="write weights/README.md from weights/manifest.yaml")
    write.add_argument("--output", type=Path, help="another file")
    options = parser.parse_args(arguments)
    return exit_code(lambda: _list(as_json=options.json) if options.command == "list" else _readme(options.output))


def _list(*, as_json: bool) -> int:
    from extensions.backbones.listing import as_text, entries

    listed = entries()
    print(json.dumps([entry.as_json() for entry in listed], indent=2) if as_json else as_text(listed))
    return 0


def _readme(output: Path | None) -> int:
    from extensions.backbones.manifest import CHECKOUT_WEIGHTS
    from extensions.backbones.readme import readme
    from extensions.runtime.atomic_write import write_whole

    path = output or CHECKOUT_WEIGHTS / "README.md"
    write_whole(path, readme())
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
