"""python -m extensions: anomalib's command line with the workbench's models, backbones and data."""

import difflib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extensions.cli.usage import HELP_ALL, PROG, WORKS, usage, usage_of
from extensions.runtime.downloads import download_error
from extensions.runtime.escaped import print_anything
from extensions.runtime.explained import explained, is_ours
from extensions.runtime.quiet import is_debugging, set_up_output
from extensions.runtime.uncollected import uncollected

ELSEWHERE = {"benchmark": "python -m benchmark run --config FILE", "install": "pip install -e ."}


def main(argv: Sequence[str] | None = None, *, prog: str = PROG) -> int:
    """Run one command.

    Args:
        argv: A subcommand and its options; None for those of this process.
        prog: How the program was called, for its help.

    Returns:
        0 when all work was done, 2 for a wrong command line, 1 for any other error, 130 when interrupted.
    """
    print_anything()
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args or is_debugging()
    args = [arg for arg in args if arg != "--debug"]
    if args and args[0] in {"-h", "--help"}:
        print(usage(prog), end="")
        return 0
    if not args or args[0] not in WORKS:
        return _fail(_no_such_subcommand(args), 2)
    if {"-h", "--help"} & {*args}:
        print(usage_of(args[0], prog), end="")
        return 0
    try:
        if HELP_ALL in args:
            _help_all(args[0], prog)
        else:
            _run(args)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except Exception as error:
        if debug:
            raise
        return _fail(_sentence(error), 2 if type(error).__name__ == "UsageError" else 1)
    return 0


def _run(args: list[str]) -> None:
    """Run a subcommand, or record a training."""
    set_up_output(told=logging.INFO)
    args, folder, log = _without_record(args)
    from extensions.cli.names import check_names

    check_names(args)
    with uncollected():  # torch and anomalib: seconds that --help need not wait for
        from extensions.cli import WorkbenchCLI
    from extensions.cli.arguments import config_files
    from extensions.cli.outcome import told

    if folder is None:
        cli = WorkbenchCLI(args)
        if cli.engine.trainer.is_global_zero:
            files = config_files(args)
            print(told(cli, Path(files[0]) if len(files) == 1 else None))
        return
    config = WorkbenchCLI(args, build=False).training_config()
    print(_recorded(config, folder, log))


def _help_all(subcommand: str, prog: str) -> None:
    """Everything anomalib's parser takes."""
    sys.argv = [prog, subcommand]  # its help looks here, and finds no --help for which it would show its guide instead
    set_up_output()
    from extensions.cli import WorkbenchCLI

    print(f"usage: {prog} {subcommand} --config FILE [options]\n", flush=True)
    WorkbenchCLI([subcommand, "--help"], build=False)


def _recorded(config: dict[str, Any], folder: Path, log: list[str]) -> str:
    """Train and evaluate by the benchmark's protocol; the last lines: the metrics, and what to do next."""
    from benchmark.api.interactive import record_run
    from benchmark.metrics.metric_table import HEADLINE
    from benchmark.records.run_files import RECORD
    from extensions.cli.outcome import metrics_table
    from extensions.runtime.command import workbench

    run = record_run(config, folder, log=log)
    metrics = {name: run.record.metrics.get(name) for name in HEADLINE}
    table = metrics_table([{name: value for name, value in metrics.items() if value is not None}])
    use = workbench("export", "--run", run.key, "--records", folder, "--output", "model")
    last = f"record: {run.folder / RECORD}; open {folder / 'leaderboard.html'}; next: {use}"
    return f"{table}\n{last}" if table else last


def _without_record(args: list[str]) -> tuple[list[str], Path | None, list[str]]:
    """The arguments without `--record DIR` and `--log NAME`, DIR and all NAMEs."""
    from extensions.configuration import ConfigError

    rest: list[str] = []
    log: list[str] = []
    folder: str | None = None
    remaining = iter(args)
    for arg in remaining:
        if arg == "--record":
            folder = next(remaining, "")
        elif arg.startswith("--record="):
            folder = arg.partition("=")[2]
        elif arg == "--log":
            log.append(next(remaining, ""))
        elif arg.startswith("--log="):
            log.append(arg.partition("=")[2])
        else:
            rest.append(arg)
    if folder is None and not log:
        return rest, None, []
    if folder is None:
        msg = "--log sends a record, and there is none without --record DIR; give both"
        raise ConfigError(msg)
    if args[0] != "train" or not folder or folder.startswith("-"):
        msg = f"--record: expected 'train … --record DIR', found {' '.join(args[:1])} with {folder!r}"
        raise ConfigError(msg)
    return rest, Path(folder), log


def _no_such_subcommand(args: list[str]) -> str:
    """What to say when there is nothing to run."""
    if not args:
        return f"expected one of {', '.join(WORKS)}; --help shows what they do"
    if args[0] in ELSEWHERE:
        return f"{args[0]} is not a command here; use: {ELSEWHERE[args[0]]}"
    near = difflib.get_close_matches(args[0], WORKS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(WORKS)}"
    return f"there is no command {args[0]!r}; {hint}"


def _sentence(error: Exception) -> str:
    """An error as its reader needs it: ours as they are, the rest with their kind."""
    text = explained(error)
    return text if is_ours(error) or download_error(error) else f"{text} (--debug shows the traceback)"


def _fail(message: str, code: int) -> int:
    """Say what is wrong; the exit code."""
    print(f"error: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
