"""Look at a data set before training on it: ``python -m extensions.data check|sheet --config FILE``."""

import argparse
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from extensions.runtime.command import add_data_root_option, add_set_option, exit_code, same_data, set_help, workbench
from extensions.runtime.escaped import print_anything
from extensions.workbench import data_sets


def main(arguments: Sequence[str] | None = None, *, prog: str = "python -m extensions.data") -> int:
    """Run the command line, called `prog`; 0 when all of its work was done."""
    print_anything()
    options = _parser(prog).parse_args(arguments)
    return exit_code(lambda: _run(options), in_lines=True)


def _run(options: argparse.Namespace) -> int:
    """Check or draw every data set of a document; what is wrong with one does not hide the others."""
    from extensions.configuration import load_config

    is_check = options.command == "check"
    if not is_check:
        _format(options.output)
    elif options.convert is None and (options.output or options.labels):
        msg = f"{'--output' if options.output else '--labels'} goes with --convert LABELS; give both or none"
        raise ValueError(msg)
    document = load_config(options.config, overrides=options.set)
    if is_check and options.convert is not None:
        return _convert(document, options)
    found = list(data_sets.data_sets(document, options.config, every_seed=is_check, data_root=options.data_root))
    results: list[data_sets.CheckResult] = []
    problems: list[str] = []
    taken: set[Path] = set()
    for one in found:
        try:
            if is_check:
                result = one.check()
            else:
                result = _sheet(one, _target(one, options.output, taken, is_alone=len(found) == 1), options.n)
        except (ValueError, OSError, RuntimeError) as error:
            problems.append(str(error))
            continue
        if result not in results:  # seeds that split alike
            print(result.text)
            results.append(result)
    if problems:
        raise ValueError("\n".join(dict.fromkeys(problems)))
    n_images = sum(one.n_images for one in results)
    if is_check:
        where = "" if len(results) == 1 else f" of {len(results)} data sets"
        look = f"; next, to look at them: {workbench('sheet', *same_data(options), '--output', 'sheet.png')}"
        can_draw = all(isinstance(one, data_sets.Detected) for one in found)
        print(f"no problems that stop a run in {n_images} images{where}{look if can_draw else ''}")
    else:
        print(f"{n_images} images drawn: open {', '.join(map(str, sorted(taken)))}")
    return 0


def _convert(document: dict[str, Any], options: argparse.Namespace) -> int:
    """Draw labels as masks of the one data set of a document."""
    from extensions.workbench.label_masks import convert

    found = list(data_sets.data_sets(document, options.config, every_seed=False, data_root=options.data_root))
    if len(found) != 1 or not isinstance(found[0], data_sets.Detected):
        several = f"{len(found)} data sets" if len(found) != 1 else "no data set of a detector"
        msg = f"{options.config} has {several}; labels are converted for one: give the config of that alone"
        raise ValueError(msg)
    done = convert(
        found[0].spec,
        options.convert,
        config=options.config,
        output=options.output,
        chosen=options.labels,
        data_root=options.data_root,
    )
    print("\n".join(done.counts))
    print(f"{done.last}; next: {workbench('check', *same_data(options))}")
    return 0


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Look at a data set before training on it: check | sheet.")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="open every file; print the counts, or all problems at once")
    sheet = commands.add_parser("sheet", help="draw test images beside themselves with their masks outlined")
    set_help(
        check,
        "Open every file of a data set; print its counts, or all problems at once.",
        example="--config configs/data/elpv_synthetic.yaml",
        notes="With --convert it draws labels of labelme or COCO (polygons, run-length codes), or several masks of one "
        "image, as one mask for each image instead; see docs/labels.md.",
    )
    set_help(
        sheet,
        "Draw test images beside themselves with their masks outlined.",
        example="--config configs/data/elpv_synthetic.yaml --output sheet.png",
    )
    for command in (check, sheet):
        command.add_argument("--config", type=Path, required=True, help="YAML with a `data:` section, of any command")
        add_set_option(command, "data.init_args.seed=1")
        add_data_root_option(command)
    check.add_argument(
        "--convert",
        type=Path,
        nargs="+",
        metavar="LABELS",
        help="label files, or a folder of them or of masks, to draw",
    )
    check.add_argument(
        "--output", type=Path, metavar="FOLDER", help="new folder of masks (default: the data set's own)"
    )
    check.add_argument("--labels", nargs="+", metavar="NAME", help="labels that count as defects (default: all)")
    sheet.add_argument("--output", type=Path, required=True, help="image to write, e.g. sheet.png")
    sheet.add_argument("--n", type=int, default=24, help="images to show (default: %(default)s)")
    return parser


def _sheet(one: data_sets.DataSet, target: Path, n: int) -> data_sets.CheckResult:
    from io import BytesIO

    from PIL import Image

    from extensions.runtime.atomic_write import write_whole

    image, n_shown = one.sheet(n)
    content = BytesIO()
    Image.fromarray(image).save(content, format=_format(target))
    write_whole(target, content.getvalue())
    return data_sets.CheckResult(str(target), n_shown)


def _target(one: data_sets.DataSet, output: Path, taken: set[Path], *, is_alone: bool) -> Path:
    """Of several data sets each has its name in its file's, and a number where another has the same."""
    target = output
    for number in count(1):
        if is_alone:
            break
        name = one.file_name if number == 1 else f"{one.file_name}-{number}"
        target = output.with_name(f"{output.stem}-{name}{output.suffix}")
        if target not in taken:
            break
    taken.add(target)
    return target


def _format(path: Path) -> str:
    """Pillow's name of the format that a file's ending asks for."""
    from PIL import Image

    known = Image.registered_extensions()
    if path.suffix.lower() not in known:
        msg = f"cannot write {path}: unknown image format {path.suffix!r}; use .png"
        raise ValueError(msg)
    return known[path.suffix.lower()]


if __name__ == "__main__":
    sys.exit(main())
