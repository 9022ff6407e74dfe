"""python -m benchmark run | tune | table | pack | speed | cache: a grid of experiments, read as one spreadsheet."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.parser import parser
from extensions.runtime.command import exit_code, workbench

if TYPE_CHECKING:
    from benchmark.one_run.options import RunOptions
    from benchmark.statistics.requirement import Requirement

DEFAULT_OUTPUT = Path("output")
SHEET = "leaderboard.xlsx"


def main(arguments: Sequence[str] | None = None, *, prog: str = "python -m benchmark") -> int:
    """Run the command line, called `prog`; the exit code is 0 only when all work was done."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = parser(prog).parse_args(given, argparse.Namespace(arguments=given))
    return exit_code(
        lambda: int(COMMANDS[options.command](options)),
        interrupted="interrupted: finished runs are kept; the same command goes on where it stopped",
    )


def run(options: argparse.Namespace) -> int:
    """`benchmark run`: run what has no record yet, then write the tables."""
    from benchmark.execute.executor import parse_executor
    from benchmark.execute.sweep import run_sweep, select
    from benchmark.log import open_sinks
    from benchmark.one_run.options import IMAGES, RunOptions
    from benchmark.one_run.runner import decoded_limit
    from benchmark.plan.ensembles import planned_ensembles, read_ensembles
    from benchmark.plan.grid import expand
    from benchmark.plan.validation import requirement_of
    from benchmark.records.archive import holds_runs
    from extensions.cache import open_cache
    from extensions.configuration import ConfigError, load_config
    from extensions.runtime.atomic_write import write_whole
    from extensions.runtime.disk import DiskFullError, room_for
    from extensions.runtime.stages import stages

    stages.started()
    open_cache()  # an invalid limit ends here, not in every run
    decoded_limit()
    data_root = options.data_root and options.data_root.resolve()  # workers may start elsewhere
    executor = parse_executor(options.executor)
    config = load_config(options.config, overrides=options.set)
    filters: dict[str, list[str]] = {}
    for key, value in map(_pair, options.filter):
        filters.setdefault(key, []).append(value)
    try:
        with stages.stage("expanding the config"):
            experiments = expand(config, folder=options.config.parent, data_root=data_root)
    except ConfigError as error:
        msg = f"{options.config}: {error}"
        raise ConfigError(msg) from error
    experiments, requirement = select(experiments, filters), requirement_of(config)
    ensembles = read_ensembles(config.get("ensembles"))
    name = str(config.get("name") or options.config.stem)
    output = options.output or DEFAULT_OUTPUT / name
    if options.dry_run:
        return _dry_run(
            experiments,
            output,
            RunOptions(overwrite=options.overwrite, data_root=data_root, requirement=requirement),
            planned_ensembles(experiments, ensembles),
        )
    _check_writable(output)
    sinks = open_sinks([config.get("log"), *options.log])  # a missing package ends here
    has_room = True
    try:
        with room_for(output):
            counts = run_sweep(
                experiments,
                output,
                options=RunOptions(
                    sweep=name,
                    overwrite=options.overwrite,
                    images=IMAGES if config.get("images") is None else int(config["images"]),
                    data_root=data_root,
                    requirement=requirement,
                ),
                keep=config.get("keep", "best"),
                executor=executor,
                command=portable_command(options.arguments),
                config=options.config.name,
                partial=bool(filters),
                sinks=sinks,
                ensembles=ensembles,
            )
    except DiskFullError:
        has_room = False  # nor for the tables
        raise
    finally:
        with stages.stage("writing the tables"):
            written, following = _written(output) if has_room and holds_runs(output) else ([], "")
    print("\n".join(str(path) for path in written))
    print(f"{_outcome(counts)}: open {output / SHEET}{following}")
    if options.stages is not None:
        write_whole(options.stages, json.dumps(stages.rows()))
    return 0 if counts["finished"] == len(experiments) and not counts["failed"] else 1


def tune(options: argparse.Namespace) -> int:
    """`benchmark tune`: look for the settings that suit the product, on images that are not tested."""
    from benchmark.tune.budget import parse_budget
    from benchmark.tune.command import read_plan
    from benchmark.tune.command import tune as search
    from extensions.cache import open_cache
    from extensions.configuration import ConfigError, load_config
    from extensions.runtime.disk import room_for

    open_cache()  # an invalid limit ends here, not in every trial
    budget = parse_budget(options.budget)
    data_root = options.data_root and options.data_root.resolve()
    config = load_config(options.config, overrides=options.set)
    try:
        plan = read_plan(config, folder=options.config.parent, data_root=data_root, name=options.config.stem)
    except ConfigError as error:
        msg = f"{options.config}: {error}"
        raise ConfigError(msg) from error
    output = options.output or DEFAULT_OUTPUT / f"{plan.name}_tune"
    _check_writable(output)
    command = portable_command(options.arguments)
    with room_for(output):
        written = search(plan, output, budget=budget, data_root=data_root, command=command)
    print("\n".join(map(str, written)))
    again = ["--data-root", options.data_root] if options.data_root else []
    print(f"chosen by {plan.validation.told}; next: {workbench('run', '--config', written[0], *again)}")
    return 0


def table(options: argparse.Namespace) -> int:
    """`benchmark table`: write the tables again from the records."""
    from benchmark.records.archive import holds_runs
    from benchmark.tables.required import parse_requirement

    requirement = parse_requirement(options.requirement)
    if not holds_runs(options.output):
        msg = (
            f"{options.output}: no folder 'runs' in it, nor packed runs; expected the output folder of `workbench run`"
        )
        raise ValueError(msg)
    written, following = _written(options.output, requirement=requirement, into=options.into)
    print("\n".join(map(str, written)))
    print(f"written again from the records: open {options.output / SHEET}{following}")
    return 0


def pack(options: argparse.Namespace) -> int:
    """`benchmark pack`: the records and scores of an output folder in a few files."""
    from benchmark.api.packing import pack as pack_runs

    written = pack_runs(options.output, options.to, allow_uncommitted=options.allow_uncommitted)
    print("\n".join(map(str, written)))
    print(f"packed: read them as before, {workbench('table', '--output', options.to)}")
    return 0


def speed(options: argparse.Namespace) -> int:
    """`benchmark speed`: ours against stock anomalib in one run."""
    from benchmark.speed import run_speed

    output = options.output or DEFAULT_OUTPUT / "speed"
    if options.profile is not None:
        from benchmark.speed.profile import profile_sweep

        path, frame = profile_sweep(options.profile, output, data_root=options.data_root, warm=options.warm)
        print(frame.to_string(index=False, float_format="{:.1f}".format))
        print(f"open {path}")
        return 0
    frame = run_speed(output, rows=options.rows, data_root=options.data_root)
    print(
        frame[["row", "reference_seconds", "ours_seconds", "ratio", "bound", "reached", "agree"]].to_string(index=False)
    )
    failed = frame[frame["error"].notna()]
    for row in failed.to_dict("records"):
        print(f"{row['row']}: {row['error']}", file=sys.stderr)
    print(f"{len(frame) - len(failed)} rows measured, {len(failed)} failed: open {output / 'speed.csv'}")
    return 1 if len(failed) else 0


CONVERSIONS = "openvino"  # the part of the cache with converted backbones


def cache_info(options: argparse.Namespace) -> int:
    """`benchmark cache info`: what earlier runs have left for later ones."""
    from extensions.cache import open_cache
    from extensions.runtime.built_folders import built_bytes

    cache = open_cache()
    if cache.folder is None:
        print("no work is cached: $WORKBENCH_CACHE_LIMIT is 0, or the folder cannot be used")
    else:
        kinds = cache.info()
        print(f"{cache.folder}: {_gib(sum(kind.n_bytes for kind in kinds))} of at most {_gib(cache.limit)}")
        for kind in kinds:
            print(f"{kind.kind:10} {kind.n_entries:8} entries  {_gib(kind.n_bytes)}")
    for name, n_bytes in built_bytes().items():
        kept = "" if name == CONVERSIONS else "  (drawn images: `clear` leaves them to the runs that read them)"
        print(f"{name:27}  {_gib(n_bytes)}{kept}")
    print(f"to free it: {workbench('cache', 'clear')}")
    return 0


def cache_clear(options: argparse.Namespace) -> int:
    """`benchmark cache clear`: remove what can be computed again."""
    from extensions.cache import open_cache
    from extensions.runtime.built_folders import clear_built

    print(f"{_gib(open_cache().clear() + clear_built(CONVERSIONS))} freed; the next run computes again what it needs")
    return 0


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.2f} GiB"


def portable_command(arguments: Sequence[str]) -> str:
    """The command as records may tell it: of an absolute path only the last part, for it says nothing elsewhere."""
    told = [Path(text).name if Path(text).is_absolute() else text for text in arguments]
    return shlex.join(["python", "-m", "benchmark", *told])


def _dry_run(experiments: Sequence, output: Path, options: RunOptions, ensembles: Sequence) -> int:
    from benchmark.execute.ensembles import left_to_judge
    from benchmark.one_run.preparation import prepare
    from benchmark.one_run.refitted_thresholds import lacks_scores_for
    from benchmark.one_run.runner import is_due
    from benchmark.records.store import Store

    store, todo = Store(output), 0
    for experiment in experiments:
        prepared = prepare(experiment, options.data_root)
        record = store.read(prepared.folder)
        state = f"not possible: {prepared.error}" if prepared.error else "to do"
        if record and not is_due(record, options.overwrite):
            state = state if lacks_scores_for(record, output, options.requirement) else record.status
        todo += state == "to do"
        what = (experiment.model_name, experiment.backbone, experiment.settings, prepared.dataset, prepared.category)
        print(f"{prepared.key}  {'  '.join(filter(None, what))}  seed {experiment.seed}: {' '.join(state.split())}")
    print(f"{len(experiments)} experiments, {todo} to do")
    if ensembles:
        n_left = len(left_to_judge(store, ensembles, overwrite=options.overwrite))
        print(f"{len(ensembles)} ensembles of these, {n_left} to judge")
    return 0


def _outcome(counts: Counter[str]) -> str:
    """How the runs ended."""
    done, others = counts["finished"], {status: n for status, n in sorted(counts.items()) if status != "finished"}
    told = ", ".join(f"{n} {status}" for status, n in ({"failed": 0} | others).items())
    return f"{done} {'run' if done == 1 else 'runs'} finished, {told}"


def _written(
    output: Path, *, requirement: Requirement | None = None, into: Path | None = None
) -> tuple[list[Path], str]:
    """The tables as files, and the command that the first decision of them ends with; empty where none does."""
    from benchmark.api.output_tables import output_tables, write_tables

    tables = output_tables(output, requirement=requirement)
    command = next((shlex.split(one.command) for one in tables.decisions if one.command), None)
    return write_tables(output, tables=tables, into=into), f"; next: {workbench(*command[1:])}" if command else ""


def _check_writable(output: Path) -> None:
    """Before hours of training, not after."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        reason = "it is a file" if output.is_file() else error.strerror
        msg = f"{output}: no records can be written there ({reason}), expected a folder; give another one by --output"
        raise ValueError(msg) from error


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        msg = f"--filter: found {text!r}, expected KEY=VALUE such as model=Patchcore"
        raise ValueError(msg)
    return name, value


COMMANDS = {
    "run": run, "tune": tune, "table": table, "pack": pack, "cache info": cache_info, "cache clear": cache_clear,
    "speed": speed,
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
