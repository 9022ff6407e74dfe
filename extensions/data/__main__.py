"""Look at a data set before training on it: ``python -m extensions.data check|sheet --config FILE``."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from extensions.command import add_set_option, exit_code, same_data, set_help, workbench
from extensions.escaped import print_anything

if TYPE_CHECKING:
    from anomalib.data.datamodules.base.image import AnomalibDataModule


def main(arguments: Sequence[str] | None = None, *, prog: str = "python -m extensions.data") -> int:
    """Run the command line, called `prog`; 0 when all of its work was done."""
    print_anything()
    options = _parser(prog).parse_args(arguments)
    if options.data_root:
        os.environ["WORKBENCH_DATA"] = str(options.data_root.resolve())
    return exit_code(lambda: _run(options), in_lines=True)


def _run(options: argparse.Namespace) -> int:
    datamodule = _load(options.config, options.set)
    return _sheet(datamodule, options) if options.command == "sheet" else _check(datamodule, options)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Look at a data set before training on it: check | sheet.")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="open every file; print the counts, or all problems at once")
    sheet = commands.add_parser("sheet", help="draw test pictures beside themselves with their masks outlined")
    set_help(
        check,
        "Open every file of a data set; print its counts, or all problems at once.",
        example="--config configs/data/elpv_synthetic.yaml",
    )
    set_help(
        sheet,
        "Draw test images beside themselves with their masks outlined.",
        example="--config configs/data/elpv_synthetic.yaml --output sheet.png",
    )
    for command in (check, sheet):
        command.add_argument("--config", type=Path, required=True, help="YAML with a `data:` section")
        add_set_option(command, "data.init_args.seed=1")
        command.add_argument("--data-root", type=Path, metavar="DIR", help="where relative folders of data start")
    sheet.add_argument("--output", type=Path, required=True, help="picture to write, e.g. sheet.png")
    sheet.add_argument("--n", type=int, default=24, help="pictures to show (default: %(default)s)")
    return parser


def _load(config: Path, overrides: Sequence[str]) -> AnomalibDataModule:
    from extensions.configuration import ConfigError, instantiate_data, load_config

    document = load_config(config, overrides=overrides)
    if "data" not in document:
        msg = f"{config} has no `data:` section; found {', '.join(document) or 'nothing'}"
        raise ConfigError(msg)
    return instantiate_data(document["data"])


def _check(datamodule: AnomalibDataModule, options: argparse.Namespace) -> int:
    from extensions.data.checks import check_dataset
    from extensions.data.fingerprints import fingerprint

    check_dataset(datamodule)
    found = fingerprint(datamodule)
    if not found.counts["n_train"]:
        msg = (
            f"data set {datamodule.name!r} has no training pictures; add some, or lower val_split_ratio where it takes "
            "them away (val_split_mode from_train, synthetic)"
        )
        raise ValueError(msg)
    print(f"data set {datamodule.name} {datamodule.category}".rstrip())
    for name, count in found.counts.items():
        shown = ", ".join(f"{kind} {n}" for kind, n in count.items()) if isinstance(count, dict) else count
        print(f"  {name:18}{shown}")
    if contamination := getattr(datamodule, "contamination", None):
        kinds = ", ".join(f"{kind} {n}" for kind, n in contamination["kinds"].items()) or "no defects"
        print(f"  {'injected':18}{kinds} ({contamination['ratio']:.1%} of training)")
    if drawn := getattr(datamodule, "k_shot_images", None):
        print(f"  {'k_shot':18}{', '.join(drawn)}")
    if shares := _marked_shares(datamodule):
        median, most = statistics.median(shares), max(shares)
        print(f"  {'marked by a mask':18}median {median:.2%} of an image, at most {most:.2%}")
    print(f"  {'sha256':18}{found.sha256}")
    look = workbench("sheet", *same_data(options), "--output", "sheet.png")
    print(f"no problems that stop a run in {len(found.files)} images; next, to look at them: {look}")
    return 0


def _marked_shares(datamodule: AnomalibDataModule) -> list[float]:
    """Which share of its image each mask of an anomalous image marks."""
    from extensions.data.checks import all_samples
    from extensions.data.inspection import inspect_files

    samples = all_samples(datamodule)
    paths = [path for path in samples["mask_path"][samples["label_index"] == 1] if path]
    return [fact.share for fact in inspect_files(paths, masks=True).values()]


def _sheet(datamodule: AnomalibDataModule, options: argparse.Namespace) -> int:
    from PIL import Image

    from extensions.data.contact_sheet import choose_samples, contact_sheet

    datamodule.setup()
    samples = choose_samples(datamodule.test_data.samples, options.n)
    if samples.empty:
        msg = f"data set {datamodule.name!r} has no test pictures to show"
        raise ValueError(msg)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    temporary = options.output.with_name(f".{options.output.name}.part")
    Image.fromarray(contact_sheet(samples)).save(temporary, format=_format(options.output))
    temporary.replace(options.output)
    print(f"{len(samples)} images drawn: open {options.output}")
    return 0


def _format(path: Path) -> str:
    """Pillow's name of the format, since the temporary file has another extension."""
    from PIL import Image

    known = Image.registered_extensions()
    if path.suffix.lower() not in known:
        msg = f"cannot write {path}: unknown picture format {path.suffix!r}; use .png"
        raise ValueError(msg)
    return known[path.suffix.lower()]


if __name__ == "__main__":
    sys.exit(main())
