"""The command line of `python -m benchmark`: commands and options."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from extensions.runtime.command import add_data_root_option, add_set_option, set_help


def parser(prog: str) -> argparse.ArgumentParser:
    """Of all commands, called `prog`; each sets `command`."""
    found = argparse.ArgumentParser(
        prog=prog,
        description="A grid of experiments, read as one spreadsheet: run | tune | table | pack | speed | cache.",
    )
    commands = found.add_subparsers(required=True, metavar="COMMAND")
    for add in (_add_run, _add_tune, _add_table, _add_pack, _add_cache, _add_speed):
        add(commands)
    return found


def _add_run(commands: Any) -> None:
    one = commands.add_parser("run", help="run a grid of experiments; records that exist are not run again")
    set_help(
        one,
        "Run a grid of experiments and write the leaderboard; a run whose record exists is not run again.",
        example="--config configs/benchmark/quickstart.yaml --output output/quickstart",
    )
    one.add_argument("--config", type=Path, required=True, help="grid of models, backbones, data sets, seeds (YAML)")
    one.add_argument("--output", type=Path, help="folder of records and tables (default: output/<name of the grid>)")
    one.add_argument(
        "--overwrite", choices=("missing", "failed", "latency", "all"), default="missing", help="what is run again"
    )
    one.add_argument(
        "--executor", default="local", metavar="local|processes:N|ray[:ADDRESS]", help="where runs are carried out"
    )
    one.add_argument(
        "--filter",
        nargs="+",
        action="extend",
        default=[],
        metavar="K=V",
        help="only these, e.g. model=Padim; of a key given twice either value",
    )
    one.add_argument(
        "--log", nargs="+", action="extend", default=[], metavar="wandb|mlflow|tensorboard",
        help="send each finished run there, too; nothing goes to the network (settings: 'log:' in the config)",
    )  # fmt: skip
    add_set_option(one, "seeds=[0,1,2]")
    one.add_argument("--dry-run", action="store_true", help="list the experiments and run nothing")
    one.add_argument("--stages", type=Path, help=argparse.SUPPRESS)  # file of seconds by stage, for speed --profile
    add_data_root_option(one)
    one.set_defaults(command="run")


def _add_tune(commands: Any) -> None:
    one = commands.add_parser("tune", help="look for the settings of detectors that suit the product")
    set_help(
        one,
        "Look for the settings that suit the product, on images that are not tested, and write best.yaml, a config "
        "with each detector as given and as found. The same command goes on where it was cut.",
        example="--config configs/tune/elpv.yaml --budget 5m --output output/tune",
    )
    one.add_argument("--config", type=Path, required=True, help="as of `run`, with `validation:` and `space:` (YAML)")
    one.add_argument("--budget", default="20m", help="wall time of all trials, e.g. 90s, 20m, 1h30m (default: 20m)")
    one.add_argument("--output", type=Path, help="folder of trials and results (default: output/<name>_tune)")
    add_set_option(one, "validation.labelled=20")
    add_data_root_option(one)
    one.set_defaults(command="tune")


def _add_table(commands: Any) -> None:
    one = commands.add_parser("table", help="write the tables again from the records, run nothing")
    set_help(one, "Write the tables again from the records; nothing is run.", example="--output output/quickstart")
    one.add_argument("--output", type=Path, required=True, help="output folder of `run`")
    one.add_argument(
        "--into", type=Path, metavar="XLSX", help="your own workbook: our sheets in it, too; all else in it stays"
    )
    one.add_argument(
        "--requirement", nargs="+", action="extend", default=[], metavar="K=V",
        help="what missed defects and false alarms are counted at, e.g. max_false_alarms=0.02, max_missed=0 or "
        "cost.missed=500 cost.false_alarm=3 cost.defect_rate=0.004 (default: that of the newest sweep)",
    )  # fmt: skip
    one.set_defaults(command="table")


def _add_pack(commands: Any) -> None:
    one = commands.add_parser("pack", help="records and scores in a few files, for a repository")
    set_help(
        one,
        "Write the records and scores of an output folder into a few files that every command reads like that folder.",
        example="--output output/quickstart --to results/quickstart",
    )
    one.add_argument("--output", type=Path, required=True, help="output folder of `run`; its runs stay")
    one.add_argument("--to", type=Path, required=True, help="folder of the packed runs; those in it stay")
    one.add_argument(
        "--allow-uncommitted", action="store_true", help="take records of code that was not committed, too"
    )
    one.set_defaults(command="pack")


def _add_cache(commands: Any) -> None:
    one = commands.add_parser("cache", help="decoded images and frozen features that runs share")
    set_help(one, "Decoded images and frozen features that runs share, on this machine.", example="info")
    actions = one.add_subparsers(required=True, metavar="info|clear")
    actions.add_parser("info", help="where they lie and how much room they take").set_defaults(command="cache info")
    actions.add_parser("clear", help="remove them; runs compute them again").set_defaults(command="cache clear")


def _add_speed(commands: Any) -> None:
    one = commands.add_parser("speed", help="measure our parts against stock anomalib in one run")
    set_help(
        one,
        "Measure our parts against stock anomalib in one run; rows that were measured are not measured again.",
        example="--output output/speed --rows metrics",
    )
    one.add_argument("--output", type=Path, help="folder for the result (default: output/speed)")
    one.add_argument("--data-root", type=Path, help="folder that holds mvtec/bottle (default: packaged images)")
    one.add_argument("--rows", nargs="+", action="extend", default=[], metavar="NAME", help="only these rows")
    one.add_argument(
        "--profile", type=Path, metavar="CONFIG", help="run this sweep instead and tell where its time goes, by stage"
    )
    one.add_argument("--warm", action="store_true", help="with --profile: keep what the cache holds")
    one.set_defaults(command="speed")
