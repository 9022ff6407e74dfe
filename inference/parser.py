"""The command line of `python -m inference`: commands, options, and what values they take."""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from extensions.runtime.command import set_help
from inference.model.metadata import PRECISIONS

T = TypeVar("T")


def _checked(parse: Callable[[str], T], is_valid: Callable[[T], object], expected: str) -> Callable[[str], T]:
    """A type of argparse, with an error that says what is expected."""

    def convert(text: str) -> T:
        with contextlib.suppress(ValueError):
            if is_valid(value := parse(text)):
                return value
        msg = f"{text!r}: expected {expected}"
        raise argparse.ArgumentTypeError(msg)

    return convert


_port = _checked(int, lambda value: 0 <= value < 2**16, "the number of a port, from 0 to 65535")
_positive = _checked(int, lambda value: 1 <= value < 2**31, "a whole number from 1")
_seconds = _checked(float, lambda value: 0 <= value < math.inf, "a number of seconds from 0")
_finite = _checked(float, math.isfinite, "a number")
_given = _checked(str, str.strip, "a text that is not empty")


def _path(text: str) -> Path:
    return Path(_given(text))


WHERE = "where relative data roots start (default: $WORKBENCH_DATA, else as in the run)"


def parser(prog: str) -> argparse.ArgumentParser:
    """Of all commands, called `prog`; each sets `command`, and `interrupted`, which is said after Ctrl-C."""
    found = argparse.ArgumentParser(
        prog=prog, description="Trained models on the line: export | predict | bench | compare | serve."
    )
    commands = found.add_subparsers(required=True, metavar="COMMAND")
    _add_export(commands)
    _add_predict(commands)
    _add_bench(commands)
    _add_compare(commands)
    _add_serve(commands)
    return found


def _add_export(commands: Any) -> None:
    one = commands.add_parser("export", help="write a trained model as OpenVINO IR and ONNX, checked against training")
    set_help(
        one,
        "Write a trained model as OpenVINO IR and ONNX, and hold it against what was trained.",
        example="--run KEY --records output/quickstart --output model",
        notes="KEY is a run key of leaderboard.xlsx, or the beginning of one.",
    )
    which = one.add_mutually_exclusive_group(required=True)
    which.add_argument("--checkpoint", type=_path, help="a trained model (.ckpt)")
    which.add_argument(
        "--run",
        type=_given,
        metavar="KEY",
        help="a run of the leaderboard, by its key or the beginning of it, or best, or best:DATASET",
    )
    one.add_argument("--records", type=_path, default=Path("output"), help="with --run: output folder of the benchmark")
    one.add_argument("--data-root", type=_path, help=WHERE)
    _add_class(one)
    one.add_argument(
        "--requirement",
        nargs="+",
        action="extend",
        default=[],
        metavar="K=V",
        help="thresholds fitted anew on the run's scores, e.g. max_missed=0.01 max_false_alarms=0.05 (two: three "
        "verdicts) or cost.missed=500 cost.false_alarm=3 cost.defect_rate=0.004 (default: the run's own)",
    )
    one.add_argument("--output", type=_path, required=True, help="folder for the exported model; there whole or not")
    one.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of the IR (default: fp32)")
    one.add_argument(
        "--calibration", type=_path, help="folder of normal training images; --run knows those it was trained on"
    )
    one.add_argument("--labelled", type=_path, help="folder with good/ and others: AUROC of this precision and of fp32")
    one.add_argument("--allow-difference", action="store_true", help="keep what differs from training by too much")
    one.set_defaults(command="export", interrupted="interrupted: nothing was written")


def _add_predict(commands: Any) -> None:
    one = commands.add_parser("predict", help="score images, a video or a camera")
    set_help(
        one,
        "Score images, a video or a camera with an exported or trained model.",
        example="--model model/model.xml --input my/images --output output/predictions --overlays",
    )
    one.add_argument("--model", type=_path, required=True, help="model.xml, model.onnx or a checkpoint")
    one.add_argument("--input", type=_given, required=True, help="a folder, image or video, camera:0, or rtsp://…")
    one.add_argument("--output", type=_path, required=True, help="folder for predictions.csv and overlays")
    _add_threshold_and_device(one)
    one.add_argument("--overlays", action="store_true", help="also draw what was found")
    one.add_argument(
        "--group",
        type=_given,
        help="which images are of one part, judged as one in parts.csv: a regular expression whose parentheses name "
        "the part in a file's path, a .csv file (file, group), or folder (default: as the model was trained)",
    )
    one.add_argument(
        "--part-score", metavar="HOW", help="of a part's images: max, mean, or top3 (default: as in training, or max)"
    )
    one.add_argument("--batch", type=_positive, default=8, help="images computed at once (default: 8; cameras: 1)")
    one.add_argument("--streams", type=_positive, help="batches computed at the same time (default: OpenVINO's advice)")
    _add_class(one)
    one.set_defaults(command="predict", interrupted="interrupted: what was done is in the output folder")


def _add_bench(commands: Any) -> None:
    one = commands.add_parser("bench", help="measure images/s and latency")
    set_help(
        one,
        "Measure images/s and latency, end to end and of the network alone.",
        example="--model model/model.xml --input my/images",
    )
    one.add_argument("--model", type=_path, nargs="+", required=True, help="model.xml, of one or several precisions")
    one.add_argument("--input", type=_path, help="folder of images (default: random ones of 320 px)")
    one.add_argument("--output", type=_path, default=Path("output/bench"), help="folder for bench.csv")
    _add_device(one)
    one.add_argument("--streams", type=_positive, nargs="+", help="numbers of streams (default: 1 2)")
    one.add_argument("--batch", type=_positive, nargs="+", help="numbers of images at once (default: 1 8)")
    one.add_argument("--stock", type=_path, help="checkpoint that anomalib exports and runs itself")
    one.add_argument("--repeats", type=_positive, default=1, help="of all in turn; medians count (default: 1)")
    one.set_defaults(command="bench", interrupted="interrupted: nothing was written")


def _add_compare(commands: Any) -> None:
    one = commands.add_parser("compare", help="export the models of a benchmark and hold them side by side")
    set_help(
        one,
        "Export the models of a benchmark and hold them side by side on labelled images.",
        example="--records output/quickstart --input my/test --precision fp32 int8",
    )
    one.add_argument("--records", type=Path, required=True, help="output folder of the benchmark")
    one.add_argument("--run", metavar="KEY", nargs="+", default=[], help="only these runs: keys, best, best:DATASET")
    one.add_argument("--input", type=Path, required=True, help="folder with good/ and others, to compare on")
    one.add_argument("--data-root", type=_path, help=WHERE)
    one.add_argument("--precision", nargs="+", choices=PRECISIONS, default=["fp32"])
    one.add_argument("--output", type=Path, default=Path("output/compare"), help="folder for exports and table")
    one.add_argument("--streams", type=_positive, default=2, help="batches computed at the same time (default: 2)")
    one.add_argument("--batch", type=_positive, default=8, help="images computed at once (default: 8)")
    one.add_argument("--seconds", type=_seconds, default=3.0, help="of each measurement of speed; 0 measures none")
    one.add_argument("--repeats", type=_positive, default=3, help="of it, models taking turns (default: 3)")
    one.set_defaults(command="compare", interrupted="interrupted: comparison.csv has what was finished")


def _add_serve(commands: Any) -> None:
    one = commands.add_parser("serve", help="a page on this machine: drop images, see what was found")
    set_help(
        one,
        "A page and an endpoint on this machine: drop images, see what was found.",
        example="--model model/model.xml --port 8000",
    )
    one.add_argument("--model", type=_path, required=True, help="model.xml, model.onnx or a checkpoint")
    one.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine)")
    one.add_argument("--port", type=_port, default=8000, help="0 takes a free one (default: 8000)")
    _add_threshold_and_device(one)
    one.add_argument("--max-megabytes", type=_positive, default=64, help="of an image file, in MiB (default: 64)")
    _add_class(one)
    one.set_defaults(command="serve", interrupted="stopped")


def _add_class(one: argparse.ArgumentParser) -> None:
    one.add_argument("--model-class", metavar="CLASS", help="of a checkpoint that does not tell, e.g. extensions.Padim")


def _add_threshold_and_device(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "--threshold", type=_finite, help="on raw scores, in place of the model's own, of both where it has two"
    )
    one.add_argument(
        "--upper-threshold", type=_finite, help="with --threshold: images between the two are unsure (default: none)"
    )
    _add_device(one)


def _add_device(one: argparse.ArgumentParser) -> None:
    one.add_argument("--device", default="CPU", help="OpenVINO's name of it (default: CPU)")
