"""python -m inference export | predict | bench | compare | serve: trained models on the line."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from extensions.runtime.command import exit_code, set_help, workbench

INTERRUPTED = "interrupted: what was done is in the output folder"


def main(arguments: Sequence[str] | None = None, *, prog: str = "python -m inference") -> int:
    """Run the command line, called `prog`; the exit code is 0 only when all work was done."""
    options = _parser(prog).parse_args(arguments)
    return exit_code(lambda: int(options.command(options)), interrupted=options.interrupted)


def export(options: argparse.Namespace) -> int:
    """`inference export`: write a trained model for the line and compare it with what was trained."""
    from extensions.runtime.atomic_folder import check_replaceable
    from inference.export.quantization import labelled_images
    from inference.export.write_model import FILES, ExportOptions, export_model
    from inference.predict.sources import list_source_images

    check_replaceable(options.output, FILES)
    if options.labelled:
        labelled_images(options.labelled)
    files = list_source_images(options.calibration) if options.calibration else []
    from inference.export.chosen import chosen_checkpoint, chosen_run, stand_in
    from inference.measure.cost import told_of_int8

    if options.run:
        chosen = chosen_run(options.run, options.records, data_root=options.data_root, files=files)
    else:
        chosen = chosen_checkpoint(
            options.checkpoint,
            model_class=options.model_class,
            data_root=options.data_root,
            files=files,
            precision=options.precision,
        )
    if chosen.told:
        print(chosen.told)
    run = chosen.load()
    agreement = export_model(
        run.model,
        run.info,
        options.output,
        files=run.images,
        options=ExportOptions(
            precision=options.precision, allow_difference=options.allow_difference, labelled=options.labelled
        ),
        fitted_on=run.fitted_on,
        stand_in=stand_in(run, files),
    )
    print(agreement.sentence())
    if told := told_of_int8(agreement.summary, precision=options.precision):
        print(told)
    if not agreement.agrees:
        print("the difference was allowed", file=sys.stderr)
    model_file = options.output / "model.xml"
    use = workbench("predict", "--model", model_file, "--input", "FOLDER", "--output", "output/predictions")
    print(f"exported {options.precision}: {model_file}; next: {use}")
    return 0


def predict(options: argparse.Namespace) -> int:
    """`inference predict`: scores, labels and overlays of images, a video or a camera."""
    from inference.model.predictors import load_predictor
    from inference.predict.pipeline import predict as run
    from inference.predict.sources import open_source

    given = Path(options.input)
    if options.overlays and given.is_dir() and options.output.resolve().is_relative_to(given.resolve()):
        msg = f"--output {options.output} lies in --input, whose next run would score overlays too; give another folder"
        raise ValueError(msg)
    source = open_source(options.input, n_threads=max(1, (os.cpu_count() or 2) // 2))
    predictor = load_predictor(
        options.model,
        device=options.device,
        streams=options.streams,
        batch=1 if source.kind == "live" else options.batch,
        threshold=options.threshold,
        model_class=options.model_class,
    )
    report = run(predictor, source, options.output, overlays=options.overlays)
    for remark in report.remarks:
        print(remark, file=sys.stderr)
    if report.n_failed:
        print(f"{report.n_failed} could not be predicted: see the column error", file=sys.stderr)
    if report.n_missing:
        print(f"the video ends {report.n_missing} frames early", file=sys.stderr)
    print(report.sentence(predictor.info.threshold, options.output, overlays=options.overlays))
    return 0 if report.is_complete else 1


def bench(options: argparse.Namespace) -> int:
    """`inference bench`: images/s and latency, end to end and of the network, beside what limits them."""
    from inference.measure.bench import measure, write
    from inference.predict.pipeline import check_writable

    check_writable(options.output)
    frame = measure(
        options.model,
        options.input,
        device=options.device,
        streams=options.streams or [1, 2],
        batches=options.batch or [1, 8],
        stock=options.stock,
        repeats=options.repeats,
    )
    print(frame.to_string(index=False, float_format=lambda value: f"{value:.3g}"))
    print(f"{len(frame)} rows measured: open {write(frame, options.output)}")
    return 0


def compare(options: argparse.Namespace) -> int:
    """`inference compare`: the models of a benchmark on the line, beside one another."""
    from inference.compare.comparison import TABLE, CompareOptions, compare_runs
    from inference.compare.verdicts import sentences

    frame = compare_runs(
        options.records,
        options.input,
        options.output,
        CompareOptions(
            precisions=options.precision,
            keys=options.run,
            data_root=options.data_root,
            streams=options.streams,
            batch=options.batch,
            seconds=options.seconds,
            repeats=options.repeats,
        ),
    )
    print(frame.drop(columns="error").to_string(index=False, float_format=lambda value: f"{value:.3g}", na_rep=""))
    failed = frame[frame["error"].notna()].to_dict("records")
    for row in failed:
        print(f"{row['model'] or row['run']}, {row['precision']}: {row['error']}", file=sys.stderr)
    print("\n".join(sentences(frame)))
    print(f"{len(frame) - len(failed)} compared, {len(failed)} with an error: open {options.output / TABLE}")
    return 1 if len(failed) else 0


def serve(options: argparse.Namespace) -> int:
    """`inference serve`: a page and an endpoint that score images, on this machine."""
    from inference.serve.server import create_app, is_loopback, listen, run, warm_up

    with listen(options.host, options.port) as listening:  # before the model is loaded: a port in use is told at once
        from inference.model.predictors import load_predictor

        predictor = load_predictor(
            options.model,
            device=options.device,
            batch=1,
            threshold=options.threshold,
            model_class=options.model_class,
        )
        if not is_loopback(options.host):
            print(f"warning: whoever reaches {options.host} over the network can use this server", file=sys.stderr)
        warm_up(predictor)
        app = create_app(predictor, max_bytes=options.max_megabytes * 2**20, host=options.host)
        host = f"[{options.host}]" if ":" in options.host else options.host
        print(f"http://{host}:{listening.getsockname()[1]} (Ctrl-C stops it)", flush=True)
        run(app, listening)
    return 0


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        msg = f"{text}: a port is a number from 0 to 65535"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        msg = f"{text}: expected a number of seconds from 0"
        raise argparse.ArgumentTypeError(msg)
    return value


def _positive(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) < 2**31:
        msg = f"{text}: expected a whole number from 1"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _finite(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        msg = f"{text!r}: expected a number"
        raise argparse.ArgumentTypeError(msg)
    return found


def _path(text: str) -> Path:
    return Path(_given(text))


def _given(text: str) -> str:
    if not text.strip():
        msg = "it is empty"
        raise argparse.ArgumentTypeError(msg)
    return text


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, description="Trained models on the line: export | predict | bench | compare | serve."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

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
    one.add_argument(
        "--data-root", type=_path, help="where relative data roots start (default: $WORKBENCH_DATA, else as in the run)"
    )
    one.add_argument("--model-class", metavar="CLASS", help="of a checkpoint that does not tell, e.g. extensions.Padim")
    one.add_argument("--output", type=_path, required=True, help="folder for the exported model; there whole or not")
    one.add_argument("--precision", choices=("fp32", "fp16", "int8"), default="fp32", help="of the IR (default: fp32)")
    one.add_argument(
        "--calibration", type=_path, help="folder of normal training images; --run knows those it was trained on"
    )
    one.add_argument("--labelled", type=_path, help="folder with good/ and others: AUROC of this precision and of fp32")
    one.add_argument("--allow-difference", action="store_true", help="keep what differs from training by too much")
    one.set_defaults(command=export, interrupted="interrupted: nothing was written")

    two = commands.add_parser("predict", help="score images, a video or a camera")
    set_help(
        two,
        "Score images, a video or a camera with an exported or trained model.",
        example="--model model/model.xml --input my/images --output output/predictions --overlays",
    )
    two.add_argument("--model", type=_path, required=True, help="model.xml, model.onnx or a checkpoint")
    two.add_argument("--input", type=_given, required=True, help="a folder, image or video, camera:0, or rtsp://…")
    two.add_argument("--output", type=_path, required=True, help="folder for predictions.csv and overlays")
    two.add_argument("--threshold", type=_finite, help="on raw scores (default: the model's own)")
    two.add_argument("--device", default="CPU", help="OpenVINO's name of it (default: CPU)")
    two.add_argument("--overlays", action="store_true", help="also draw what was found")
    two.add_argument("--batch", type=_positive, default=8, help="images computed at once (default: 8; cameras: 1)")
    two.add_argument("--streams", type=_positive, help="batches computed at the same time (default: OpenVINO's advice)")
    two.add_argument("--model-class", metavar="CLASS", help="of a checkpoint that does not tell, e.g. extensions.Padim")
    two.set_defaults(command=predict, interrupted=INTERRUPTED)

    three = commands.add_parser("bench", help="measure images/s and latency")
    set_help(
        three,
        "Measure images/s and latency, end to end and of the network alone.",
        example="--model model/model.xml --input my/images",
    )
    three.add_argument("--model", type=_path, nargs="+", required=True, help="model.xml, of one or several precisions")
    three.add_argument("--input", type=_path, help="folder of images (default: random ones of 320 px)")
    three.add_argument("--output", type=_path, default=Path("output/bench"), help="folder for bench.csv")
    three.add_argument("--device", default="CPU", help="OpenVINO's name of it (default: CPU)")
    three.add_argument("--streams", type=_positive, nargs="+", help="numbers of streams (default: 1 2)")
    three.add_argument("--batch", type=_positive, nargs="+", help="numbers of images at once (default: 1 8)")
    three.add_argument("--stock", type=_path, help="checkpoint that anomalib exports and runs itself")
    three.add_argument("--repeats", type=_positive, default=1, help="of all in turn; medians count (default: 1)")
    three.set_defaults(command=bench, interrupted="interrupted: nothing was written")

    five = commands.add_parser("compare", help="export the models of a benchmark and hold them side by side")
    set_help(
        five,
        "Export the models of a benchmark and hold them side by side on labelled images.",
        example="--records output/quickstart --input my/test --precision fp32 int8",
    )
    five.add_argument("--records", type=Path, required=True, help="output folder of the benchmark")
    five.add_argument("--run", metavar="KEY", nargs="+", default=[], help="only these runs: keys, best, best:DATASET")
    five.add_argument("--input", type=Path, required=True, help="folder with good/ and others, to compare on")
    five.add_argument(
        "--data-root",
        type=_path,
        help="where relative data roots start (default: $WORKBENCH_DATA, else as in the runs)",
    )
    five.add_argument("--precision", nargs="+", choices=("fp32", "fp16", "int8"), default=["fp32"])
    five.add_argument("--output", type=Path, default=Path("output/compare"), help="folder for exports and table")
    five.add_argument("--streams", type=_positive, default=2, help="batches computed at the same time (default: 2)")
    five.add_argument("--batch", type=_positive, default=8, help="images computed at once (default: 8)")
    five.add_argument("--seconds", type=_seconds, default=3.0, help="of each measurement of speed; 0 measures none")
    five.add_argument("--repeats", type=_positive, default=3, help="of it, models taking turns (default: 3)")
    five.set_defaults(command=compare, interrupted="interrupted: comparison.csv has what was finished")

    four = commands.add_parser("serve", help="a page on this machine: drop images, see what was found")
    set_help(
        four,
        "A page and an endpoint on this machine: drop images, see what was found.",
        example="--model model/model.xml --port 8000",
    )
    four.add_argument("--model", type=_path, required=True, help="model.xml, model.onnx or a checkpoint")
    four.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine)")
    four.add_argument("--port", type=_port, default=8000, help="0 takes a free one (default: 8000)")
    four.add_argument("--threshold", type=_finite, help="on raw scores (default: the model's own)")
    four.add_argument("--device", default="CPU", help="OpenVINO's name of it (default: CPU)")
    four.add_argument("--max-megabytes", type=_positive, default=64, help="of an image file, in MiB (default: 64)")
    four.add_argument(
        "--model-class", metavar="CLASS", help="of a checkpoint that does not tell, e.g. extensions.Padim"
    )
    four.set_defaults(command=serve, interrupted="stopped")
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # how a service is stopped loses no more than Ctrl-C
    sys.exit(main())
