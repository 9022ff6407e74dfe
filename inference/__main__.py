"""python -m inference export | predict | bench | compare | serve: trained models on the line."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from extensions.runtime.command import exit_code, workbench
from inference.parser import parser

if TYPE_CHECKING:
    from inference.export.trained_run import TrainedRun
    from inference.model.metadata import Parts
    from inference.predict.part_table import PartTable
    from inference.predict.sources import Source


def main(arguments: Sequence[str] | None = None, *, prog: str = "python -m inference") -> int:
    """Run the command line, called `prog`; the exit code is 0 only when all work was done."""
    options = parser(prog).parse_args(arguments)
    return exit_code(lambda: COMMANDS[options.command](options), interrupted=options.interrupted)


def export(options: argparse.Namespace) -> int:
    """`inference export`: write a trained model for the line and compare it with what was trained."""
    if options.checkpoint and not options.checkpoint.is_file():  # before anything that takes seconds to import
        msg = f"{options.checkpoint}: there is no such file; expected a checkpoint (.ckpt) of a trained model"
        raise FileNotFoundError(msg)
    from extensions.runtime.atomic_write import check_replaceable
    from inference.export.product_thresholds import write_product_thresholds
    from inference.export.write_model import FILES, ExportOptions, export_model
    from inference.measure.cost import told_of_int8
    from inference.measure.labelled_images import LabelledImages
    from inference.model.checkpoints import told_imaging
    from inference.model.metadata import ModelInfo, info_path
    from inference.model.told_thresholds import thresholds_sentence
    from inference.predict.sources import list_source_images

    check_replaceable(options.output, FILES)
    if options.labelled:
        LabelledImages.from_folder(options.labelled, imaging=told_imaging(options.checkpoint))
    images = told_imaging(options.checkpoint)
    files = list_source_images(options.calibration, imaging=images) if options.calibration else []
    run = _trained_run(options, files)
    if options.calibration and run.info.imaging != images:
        files = list_source_images(options.calibration, imaging=run.info.imaging)
    agreement = export_model(
        run.model,
        run.info,
        options.output,
        files=files or run.images,
        options=ExportOptions(
            precision=options.precision, allow_difference=options.allow_difference, labelled=options.labelled
        ),
        fitted_on=run.fitted_on,
        stand_in=run.stand_in(files),
    )
    print(agreement.sentence())
    if told := told_of_int8(agreement.summary, precision=options.precision):
        print(told)
    if not agreement.agrees:
        print("the difference was allowed", file=sys.stderr)
    model_file = options.output / "model.xml"
    print(thresholds_sentence(ModelInfo.read(info_path(model_file))))
    if run.products:
        print(write_product_thresholds(run.products, options.output, key=run.info.run_key or ""))
    use = workbench("predict", "--model", model_file, "--input", "FOLDER", "--output", "output/predictions")
    print(f"exported {options.precision}: {model_file}; next: {use}")
    return 0


def _trained_run(options: argparse.Namespace, files: list[Path]) -> TrainedRun:
    """The model to be exported; what cannot be had is told before it is loaded.

    Args:
        options: Of the command.
        files: Of `--calibration`; with them the training images are not needed.
    """
    from benchmark.api.found_run import find_beside, find_run
    from benchmark.tables.required import parse_requirement
    from inference.export.trained_run import TrainedRun
    from inference.model.checkpoints import load_checkpoint

    found, requirement = None, parse_requirement(options.requirement)
    if options.run:
        found = find_run(options.run, options.records, options.data_root, requirement=requirement)
    elif requirement is not None or not files or options.precision == "int8":  # the images of its threshold are wanted
        found = find_beside(options.checkpoint, options.data_root, requirement=requirement)
    if requirement is not None and found is None:
        msg = f"--requirement: no record of a run lies beside {options.checkpoint}, so there are no scores to fit "
        msg += "thresholds on; give the run by --run KEY --records DIR"
        raise ValueError(msg)
    if found is None:
        if not files:
            msg = (
                "--calibration: give a folder of normal training images, on which the export is compared and calibrated"
            )
            raise ValueError(msg)
        return TrainedRun(*load_checkpoint(options.checkpoint, model_class=options.model_class), files)
    found.check(needs_images=not files)
    if found.told:
        print(found.told)
    return found.load(model_class=options.model_class)


def predict(options: argparse.Namespace) -> int:
    """`inference predict`: scores, labels and overlays of images, a video or a camera."""
    from inference.model.compiling import check_files

    check_files(options.model)  # before anything that takes seconds to import, and before the images are listed
    from inference.model.checkpoints import told_imaging
    from inference.model.predictors import load_predictor
    from inference.predict.part_table import asked_parts
    from inference.predict.pipeline import predict as run
    from inference.predict.sources import open_source

    given = Path(options.input)
    if options.overlays and given.is_dir() and options.output.resolve().is_relative_to(given.resolve()):
        msg = f"--output {options.output} lies in --input, whose next run would score overlays too; give another folder"
        raise ValueError(msg)
    n_threads = max(1, (os.cpu_count() or 2) // 2)
    source = open_source(options.input, n_threads=n_threads, imaging=told_imaging(options.model))
    predictor = load_predictor(
        options.model,
        device=options.device,
        streams=options.streams,
        batch=1 if source.kind == "live" else options.batch,
        threshold=options.threshold,
        upper_threshold=options.upper_threshold,
        model_class=options.model_class,
    )
    parts = asked_parts(predictor.info, options.group, options.part_score)
    table = None
    if parts is not None and parts.group is not None:
        table = _part_table(parts, source, given, options)
    report = run(predictor, source, options.output, overlays=options.overlays, parts=table)
    for remark in report.remarks:
        print(remark, file=sys.stderr)
    if report.n_failed:
        print(f"{report.n_failed} could not be predicted: see the column error", file=sys.stderr)
    if report.n_missing:
        print(f"the video ends {report.n_missing} frames early", file=sys.stderr)
    print(report.sentence(predictor.info, options.output, overlays=options.overlays))
    if table is not None:
        print(table.sentence())
    return 0 if report.is_complete else 1


def _part_table(parts: Parts, source: Source, given: Path, options: argparse.Namespace) -> PartTable | None:
    """The table of parts; None where the model's own way of naming them does not name these.

    Raises:
        ValueError: That of `--group` does not, or these are no files.
    """
    from inference.predict.part_table import PartTable, parts_by_name

    assert parts.group is not None
    if not source.names:
        if options.group is None:
            return None
        msg = f"--group {options.group}: {options.input} has no files; expected a folder of images"
        raise ValueError(msg)
    try:
        found = parts_by_name(source.names, given if given.is_dir() else given.parent, parts.group)
    except ValueError as error:
        if options.group is not None:
            raise
        print(f"no parts are judged: {error} (by --group)", file=sys.stderr)
        return None
    return PartTable(options.output, parts, found)


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
    from benchmark.api.found_run import find_run
    from inference.compare.comparison import CompareOptions, compare_runs
    from inference.compare.table import TABLE, sentences

    frame = compare_runs(
        options.records,
        options.input,
        output=options.output,
        find_run=lambda key: find_run(key, options.records, options.data_root),
        options=CompareOptions(
            precisions=options.precision,
            keys=options.run,
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
            upper_threshold=options.upper_threshold,
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


COMMANDS = {"export": export, "predict": predict, "bench": bench, "compare": compare, "serve": serve}

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # how a service is stopped loses no more than Ctrl-C
    sys.exit(main())
