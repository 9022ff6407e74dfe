"""Look at the named augmentations: `python -m extensions.transforms show --input IMAGE_OR_FOLDER --output FILE`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from extensions.runtime.command import exit_code, set_help


def main(arguments: Sequence[str] | None = None, *, prog: str = "python -m extensions.transforms") -> int:
    """Run the command line, called `prog`; 0 when all of its work was done."""
    options = _parser(prog).parse_args(arguments)
    return exit_code(lambda: show(options))


def show(options: argparse.Namespace) -> int:
    """`extensions.transforms show`: write a sheet of images and their views."""
    import cv2

    from extensions.runtime.atomic_write import write_whole
    from extensions.transforms.augmentation_sheet import sample_images, views_sheet

    suffix = options.output.suffix.lower()
    if suffix not in (".png", ".jpg", ".jpeg"):
        msg = f"cannot write {options.output}: found the ending {suffix!r}, expected .png or .jpg"
        raise ValueError(msg)
    for name in ("n", "views", "size"):
        least = 16 if name == "size" else 1
        if getattr(options, name) < least:
            msg = f"--{name}: found {getattr(options, name)}, expected a whole number from {least} on"
            raise ValueError(msg)
    paths = sample_images(options.input, n=options.n)
    sheet = views_sheet(paths, size=options.size, n_views=options.views, seed=options.seed)
    write_whole(options.output, cv2.imencode(suffix, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())
    print(f"{len(paths)} images and their views: open {options.output}")
    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Look at the named augmentations: show.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    shown = commands.add_parser("show", help="write a sheet: images in rows, each augmentation in a column")
    set_help(
        shown,
        "Write a sheet: images in rows, each augmentation in a column.",
        example="--input my/images --output views.png",
    )
    shown.add_argument("--input", type=Path, required=True, help="an image, or a folder of them")
    shown.add_argument("--output", type=Path, required=True, help="image to write, e.g. sheet.png")
    shown.add_argument("--n", type=int, default=4, help="images of a folder (default: %(default)s)")
    shown.add_argument("--views", type=int, default=4, help="random draws of each (default: %(default)s)")
    shown.add_argument("--size", type=int, default=256, help="side in px, as a detector sees it (default: %(default)s)")
    shown.add_argument("--seed", type=int, default=0, help="of the draws (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
