"""python -m extensions: anomalib's command line with the workbench's models, backbones and data."""

from __future__ import annotations

import difflib
import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from extensions.command import is_debugging
from extensions.escaped import print_anything

USAGE = """\
usage: python -m extensions SUBCOMMAND --config FILE [options]

anomalib's own command line, with our models, backbones and data known by name.

subcommands:
  train      fit a model, then test it
  fit        fit a model
  validate   run the validation set through a model
  test       evaluate a model on the test set
  predict    run a model on pictures
  export     write a trained model as torch, ONNX or OpenVINO file

options:
  --config FILE            model, data and trainer; see configs/ (any key can follow: --trainer.max_epochs 50)
  --ckpt_path FILE         a checkpoint, or best or last of the newest run in --default_root_dir
  --default_root_dir DIR   where runs are written (results)
  --record DIR             train only: also write a benchmark record into DIR, which the leaderboard reads
  --log NAME               with --record: also send the record to wandb, mlflow or tensorboard (offline)
  --debug                  show the traceback of an error (also WORKBENCH_DEBUG=1)

python -m extensions SUBCOMMAND --help shows everything a subcommand takes.
python -m extensions.backbones list shows the backbones; python -m benchmark compares models.
"""
SUBCOMMANDS = ("train", "fit", "validate", "test", "predict", "export")
ELSEWHERE = {"benchmark": "python -m benchmark run --config FILE", "install": "pip install -e ."}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 when all work was done, 2 for a wrong command line, 1 for any other error, 130 when interrupted.
    """
    print_anything()
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args or is_debugging()
    args = [arg for arg in args if arg != "--debug"]
    if args and args[0] in {"-h", "--help"}:
        print(USAGE, end="")
        return 0
    if not args or args[0] not in SUBCOMMANDS:
        return _fail(_no_such_subcommand(args), 2)
    try:
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
    # anomalib 2.7 causes both on import, and nobody here can do anything about them.
    warnings.filterwarnings("ignore", message="Importing from timm.models.layers is deprecated")
    warnings.filterwarnings("ignore", message="The anomalib.models.components.dinov2 package is deprecated")
    logging.basicConfig(format="%(message)s")  # as Lightning shows its own messages
    logging.getLogger("extensions").setLevel(logging.INFO)
    args, folder, log = _without_record(args)
    from extensions.cli import WorkbenchCLI  # torch and anomalib: seconds that --help need not wait for

    if folder is None:
        WorkbenchCLI(args)
        return
    config = WorkbenchCLI(args, build=False).training_config()
    print(f"record: {_record(config, folder, log)}")


def _record(config: dict[str, Any], folder: Path, log: list[str]) -> Path:
    """Train and evaluate by the benchmark's protocol."""
    from benchmark.interactive import record_run

    return record_run(config, folder, log=log)


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
        return f"expected one of {', '.join(SUBCOMMANDS)}; --help shows what they do"
    if args[0] in ELSEWHERE:
        return f"{args[0]} is not a command here; use: {ELSEWHERE[args[0]]}"
    near = difflib.get_close_matches(args[0], SUBCOMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(SUBCOMMANDS)}"
    return f"there is no command {args[0]!r}; {hint}"


def _sentence(error: Exception) -> str:
    """An error as its reader needs it: ours and bad values as they are, the rest with their kind."""
    ours = type(error).__module__.split(".")[0] in {"extensions", "benchmark"}
    if ours:
        return str(error)
    text = " ".join(str(error).split())
    if isinstance(error, ValueError | OSError):
        return text
    return f"{type(error).__name__}: {text} (--debug shows the traceback)"


def _fail(message: str, code: int) -> int:
    """Say what is wrong; the exit code."""
    print(f"error: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
