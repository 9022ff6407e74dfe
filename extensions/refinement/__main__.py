"""Find the defects among training images, remove them, train on the rest: python -m extensions.refinement."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extensions.runtime.command import add_data_root_option, add_set_option, exit_code, same_data, set_help, workbench

if TYPE_CHECKING:
    from benchmark.plan.experiment import Experiment
    from benchmark.records.record_sections import Refinement

KEYS = ("model", "data", "trainer", "seed", "refinement")
DEFAULT_OUTPUT = Path("output/refinement")
ROUNDS_REVIEWED = "rounds-review.csv"


def main(arguments: Sequence[str] | None = None, *, prog: str = "python -m extensions.refinement") -> int:
    """Run the command line, called `prog`; 0 when all of its work was done."""
    options = _parser(prog).parse_args(arguments)
    return exit_code(
        lambda: _run(options),
        interrupted="interrupted: what was computed from images is cached; the same command starts again",
    )


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog)
    set_help(
        parser,
        "Train, score the training images, remove the suspects, retrain; nothing of yours is moved.",
        notes=(
            "In the output folder: rounds.csv (a row per round; after a review rounds-review.csv), suspects.csv and "
            "suspects.html (the suspicious images, most suspicious first; fill in `keep`, then --review it), and the "
            "record, scores and model of the last round with the leaderboard."
        ),
        example="--config configs/refinement/quickstart.yaml",
    )
    parser.add_argument("--config", type=Path, required=True, help="YAML with model, data, trainer, seed, refinement")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="default: %(default)s/<name of the config>")
    parser.add_argument("--review", type=Path, metavar="CSV", help="train on the verdict of a reviewed suspects.csv")
    add_data_root_option(parser)
    add_set_option(parser, "data.init_args.contamination_ratio=0.05")
    return parser


def _run(options: argparse.Namespace) -> int:
    from benchmark.api.output_tables import write_tables
    from benchmark.one_run.options import RunOptions
    from benchmark.one_run.refinement_run import PAGE, ROUNDS, SUSPECTS
    from benchmark.one_run.runner import run_experiment
    from extensions.configuration import load_config
    from extensions.refinement.review.suspects import set_aside
    from extensions.runtime.atomic_write import write_whole

    output = options.output / options.config.stem if options.output == DEFAULT_OUTPUT else options.output
    experiment = read_experiment(load_config(options.config, overrides=options.set), options.config)
    if options.review:
        experiment = _reviewed(experiment, options.review, options.data_root)
    how = RunOptions(sweep="refinement", overwrite="all", page=True, data_root=options.data_root)
    record = run_experiment(experiment, output, options=how)
    if record is None:
        msg = f"{output}: another process is at work on this refinement"
        raise RuntimeError(msg)
    if record.error is not None:
        raise RuntimeError(record.error.message)
    assert record.refinement is not None
    written = {ROUNDS: ROUNDS_REVIEWED} if options.review else {name: name for name in (ROUNDS, SUSPECTS, PAGE)}
    for name, shown in written.items():
        text = (output / record.folder / name).read_bytes().decode()
        if name == SUSPECTS:
            set_aside(output / name, text)
        write_whole(output / shown, text)
    print(_told(record.refinement))
    print("\n".join(str(output / name) for name in written.values()))
    print("\n".join(map(str, write_tables(output))))
    print(_outcome(record.refinement, output, options))
    return 0


def read_experiment(config: dict[str, Any], path: Path) -> Experiment:
    """What a configuration asks for, its classes and arguments checked.

    Raises:
        ConfigError: Something in it cannot be; the message begins with the path.
    """
    from benchmark.plan.experiment import Experiment
    from benchmark.plan.validation import check_experiments, check_mapping, check_seed
    from extensions.configuration import ConfigError
    from extensions.configuration.errors import did_you_mean

    try:
        for key in config:
            if key not in KEYS:
                msg = f"unknown key {key!r}, expected one of {', '.join(KEYS)}{did_you_mean(str(key), KEYS)}"
                raise ConfigError(msg)
        for key in ("model", "data"):
            if not isinstance(config.get(key), dict) or "class_path" not in config[key]:
                msg = f"a refinement needs a section {key!r} with a class_path, found {config.get(key)!r}"
                raise ConfigError(msg)
        experiment = Experiment(
            model=config["model"],
            data=config["data"],
            trainer=check_mapping(config.get("trainer"), "trainer"),
            seed=check_seed(config.get("seed")),
            refinement=check_mapping(config.get("refinement"), "refinement"),
        )
        return check_experiments([experiment])[0]
    except ConfigError as error:
        msg = f"{path}: {error}"
        raise ConfigError(msg) from error


def _reviewed(experiment: Experiment, review: Path, data_root: Path | None) -> Experiment:
    """The experiment that trains on what a person kept."""
    from dataclasses import replace

    from extensions.configuration import instantiate_data
    from extensions.data.datamodules.stock import set_up
    from extensions.refinement.loop import training_names
    from extensions.refinement.review.suspects import read_review
    from extensions.refinement.screening import Screening

    datamodule = instantiate_data(experiment.data, data_root)
    set_up(datamodule, seed=experiment.seed)
    verdict = read_review(review, training_names(Screening(datamodule).datamodule))
    dropped = sorted(name for name, keep in verdict.items() if not keep)
    return replace(experiment, refinement={"strategy": "review", "dropped": dropped, "rounds": 1})


def _outcome(refinement: Refinement, output: Path, options: argparse.Namespace) -> str:
    """How many images are suspicious, and what to do with them."""
    from benchmark.one_run.refinement_run import PAGE, SUSPECTS

    first, last = refinement.rounds[0], refinement.rounds[-1]
    if options.review:
        told = f"trained on {last.n_train} images without the {last.n_removed} you dropped"
        return f"{told}: open {output / 'leaderboard.html'}"
    n_images = first.n_train + refinement.n_held_out
    told = f"{last.n_removed} of {n_images} images {'is' if last.n_removed == 1 else 'are'} suspicious"
    where = [] if options.output == DEFAULT_OUTPUT else ["--output", output]
    review = [*same_data(options), *where, "--review", output / SUSPECTS]
    return f"{told}: open {output / PAGE}; after your review: {workbench('refine', *review)}"


def _told(refinement: Refinement) -> str:
    """The rounds as a table for a terminal, and where the time went."""
    import pandas as pd

    rounds = pd.DataFrame([one.on_disk() for one in refinement.rounds]).dropna(axis=1, how="all")
    seconds = ", ".join(f"{name} {taken:.1f} s" for name, taken in refinement.seconds.items())
    table = rounds.to_string(index=False, float_format=lambda value: f"{value:.4f}")
    held_out = f"{refinement.n_held_out} images are held out to set the threshold on; they were screened, too\n"
    return f"{table}\n{held_out if refinement.n_held_out else ''}{seconds}"


if __name__ == "__main__":
    sys.exit(main())
