"""Backbones that learn from your own images: python -m extensions.self_supervised fit|views|export and two probes."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extensions.runtime.command import add_data_root_option, add_set_option, exit_code, same_data, set_help, workbench
from extensions.self_supervised.probe import probe_command, sensitivity_command

DEFAULT_OUTPUT = Path("output/self_supervised")
VIEWS = "views.png"


def main(arguments: Sequence[str] | None = None, *, prog: str = "python -m extensions.self_supervised") -> int:
    """Run the command line, called `prog`; 0 when all of its work was done."""
    options = _parser(prog).parse_args(arguments)
    if options.command == "probe":
        return exit_code(lambda: probe_command.run(options), interrupted="interrupted: finished rows are kept")
    if options.command == "sensitivity":
        return exit_code(lambda: sensitivity_command.run(options), interrupted="interrupted: nothing was written")
    return exit_code(
        lambda: _run(options), interrupted="interrupted: the same command goes on from the last checkpoint"
    )


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, description="Backbones that learn from your own images: fit | views | export | probe | sensitivity."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    fit = commands.add_parser("fit", help="pretrain a backbone on folders of images; stopped, it goes on")
    set_help(
        fit,
        "Pretrain a backbone on folders of your own images; the same command goes on where it was stopped.",
        notes=f"`{prog} views` draws what would be learned from, `{prog} export` makes what was learned a backbone.",
        example="--config configs/self_supervised/simclr.yaml --set 'data.init_args.folders=[my/images]'",
    )
    fit.add_argument("--restart", action="store_true", help="begin anew though there is a checkpoint")
    views = commands.add_parser("views", help="draw a sheet of what would be learned from, to be looked at first")
    set_help(
        views,
        "Draw a sheet of what would be learned from, to be looked at before hours of training.",
        example="--config configs/self_supervised/simclr.yaml --set 'data.init_args.folders=[my/images]'",
    )
    views.add_argument("--n", type=int, default=12, help="images to show (default: %(default)s)")
    export = commands.add_parser(
        "export", help="make what was pretrained a backbone with a name, in the weights folder"
    )
    set_help(
        export,
        "Make what was pretrained a backbone with a name, in the weights folder.",
        example="--config configs/self_supervised/simclr.yaml",
    )
    probe_command.add_arguments(
        commands.add_parser("probe", help="how well frozen features tell classes apart: linear probe, kNN")
    )
    sensitivity_command.add_arguments(
        commands.add_parser("sensitivity", help="how far features move at a small defect, against a weak change")
    )
    export.add_argument("--replace", action="store_true", help="replace other weights of the same name")
    for command in (fit, views, export):
        command.add_argument("--config", type=Path, required=True, help="YAML, see configs/self_supervised")
        command.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="default: %(default)s/<config>")
        add_data_root_option(command)
        add_set_option(command, "trainer.max_epochs=10")
    return parser


def _run(options: argparse.Namespace) -> int:
    from extensions.configuration import load_config

    output = options.output / options.config.stem if options.output == DEFAULT_OUTPUT else options.output
    config = load_config(options.config, overrides=options.set)
    return {"fit": _fit, "views": _views, "export": _export}[options.command](config, options, output)


def _fit(config: dict[str, Any], options: argparse.Namespace, output: Path) -> int:
    from extensions.self_supervised.fit.pretraining import CURVE, CURVE_IMAGE, ENCODER, pretrain, read_pretraining

    asked = read_pretraining(config, options.config, options.data_root)
    record = pretrain(asked, output, restart=options.restart)
    if record["rank"]:
        return 0  # the first process speaks for all
    last = record["curve"][-1] if record["curve"] else {}
    print(
        f"{record['method']} of {record['backbone']}: {record['epochs']} epochs, {record['steps']} steps, "
        f"{record['images']['n']} images, {record['seconds']:.0f} s; "
        f"loss {last.get('train_loss', float('nan')):.4f}, spread {last.get('embedding_spread', float('nan')):.3f}"
    )
    print("\n".join(str(output / name) for name in (CURVE, CURVE_IMAGE, ENCODER)))
    if record["collapsed_at"] is not None:
        print(
            f"collapsed in epoch {record['collapsed_at']}: what was learned is of no use, open {output / CURVE_IMAGE}"
        )
        return 1
    missing = "" if "export" in config else "add export: {tag: NAME} to the config, then "
    command = workbench("pretrain", "export", *_same(options))
    print(f"pretrained {record['epochs']} epochs: open {output / CURVE_IMAGE}; next: {missing}{command}")
    return 0


def _views(config: dict[str, Any], options: argparse.Namespace, output: Path) -> int:
    from io import BytesIO

    from PIL import Image

    from extensions.runtime.atomic_write import write_whole
    from extensions.self_supervised.fit.pretraining import read_pretraining
    from extensions.self_supervised.fit.views_sheet import views_sheet

    if options.n < 1:
        msg = f"--n is {options.n}; expected 1 or more"
        raise ValueError(msg)
    asked = read_pretraining(config, options.config, options.data_root)
    content = BytesIO()
    Image.fromarray(views_sheet(asked, n=options.n)).save(content, format="PNG")
    write_whole(output / VIEWS, content.getvalue())
    print(f"drawn: open {output / VIEWS}; next: {workbench('pretrain', 'fit', *_same(options))}")
    return 0


def _same(options: argparse.Namespace) -> list[object]:
    """The options by which another command finds the same pretraining."""
    where = [] if options.output == DEFAULT_OUTPUT else ["--output", options.output]
    return [*where, *same_data(options)]


def _export(config: dict[str, Any], options: argparse.Namespace, output: Path) -> int:
    from extensions.configuration import ConfigError
    from extensions.self_supervised.export.weights_file import export

    asked = config.get("export")
    if not isinstance(asked, dict) or "tag" not in asked or asked.keys() - {"tag", "license", "half"}:
        msg = f"{options.config}: export is {asked!r}; expected {{tag: NAME, license: ..., half: true}}"
        raise ConfigError(msg)
    license, half, tag = asked.get("license", "not stated"), asked.get("half", True), asked["tag"]
    for name, value, kind, expected in (
        ("tag", tag, str | int, "letters, digits, _ and -, such as simclr_parts"),
        ("license", license, str, "text"),
        ("half", half, bool, "true or false"),
    ):
        if not isinstance(value, kind) or (name == "tag" and isinstance(value, bool)):
            msg = f"{options.config}: export.{name} is {value!r}; expected {expected}"
            raise ConfigError(msg)
    file = export(output, tag=str(tag), license=license, half=half, config=options.config, replace=options.replace)
    name = file.name.removesuffix(".safetensors")
    takes = f"any model now takes `backbone: {name}`"
    if "Registration" in str((config.get("model") or {}).get("class_path")):
        takes = f"extensions.RegAd now takes `registration: {file.name}`"
    print(f"{file}\n{takes}; next: {workbench('run', '--config', 'CONFIG')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
