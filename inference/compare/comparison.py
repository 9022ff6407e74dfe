"""The models of a benchmark beside one another on the line: agreement with training, accuracy, speed, size."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.records.archive import read_records
from inference.compare.exports import compare_exports
from inference.compare.table import judge_speed, new_row, rejected, write_table
from inference.export.trained_run import FinishedRun
from inference.measure.bench import measure
from inference.measure.labelled_images import LabelledImages

logger = logging.getLogger(__name__)

MEASURED = {"backbone": "backbone", "network": "network", "end to end": "end_to_end"}


@dataclass(frozen=True)
class CompareOptions:
    """How models are compared.

    Attributes:
        precisions: Of the exports.
        keys: Of the runs, or their beginnings; empty takes every finished one.
        streams: Batches computed at the same time, when speed is measured.
        batch: Images computed together.
        seconds: Of each measurement of speed; 0 measures none.
        repeats: Measurements of each, the models taking turns; the median counts.
    """

    precisions: Sequence[str] = ("fp32",)
    keys: Sequence[str] = ()
    streams: int = 2
    batch: int = 8
    seconds: float = 3.0
    repeats: int = 3


def compare_runs(
    records: Path,
    folder: Path,
    *,
    output: Path,
    find_run: Callable[[str], FinishedRun],
    options: CompareOptions | None = None,
) -> pd.DataFrame:
    """Export the models of a benchmark and hold each against what was trained, on every image of a folder.

    A model that cannot be exported, or differs by more than is accepted, is a row with its `error`; the others go on.
    The table is written after each model, the exports are in `<output>/<model>-<key>/<precision>`.

    Args:
        records: Output folder of `benchmark run`; models that it did not keep are fitted again.
        folder: Labelled images: `good` and others, such as `test` of an MVTec category. Masks, and images that a run
            was trained on, are left out and told.
        output: For the exports and `comparison.csv`.
        find_run: The run of a key, as `benchmark.api.found_run.find_run`; it raises ValueError where there is none.
        options: See `CompareOptions`.

    Returns:
        One row of `COLUMNS` for each model and precision. Differences are parts of the range of the trained model's
        scores, and of its maps, on these images. Each network judges by its own threshold: int8's is fitted anew on
        `threshold_fitted_on`, blank where it is that of training. `n_flipped_near` counts images whose verdict (good,
        defective, unsure; with one threshold the label) differs within the tolerance of a threshold of training,
        `n_flipped` the others. `n_unsure_trained` and `n_unsure` are blank with one threshold. AUROCs are those of
        these images. `verdict` is that on the export: `kept`, `rejected`, or `kept, but not faster than fp32 here`.

    Raises:
        ValueError: There is no such run, or the folder is not labelled.
        RuntimeError: The images of none of the runs can be had.
    """
    options = options or CompareOptions()
    images = LabelledImages.from_folder(folder)
    found = _found(records, find_run, options)
    rows: list[dict[str, Any]] = []
    networks: dict[int, Path] = {}
    for run in found:
        made = (
            [(run, None)]
            if isinstance(run, dict)
            else compare_exports(run, images, folder=folder, output=output, precisions=options.precisions)
        )
        for row, network in made:
            if network is not None:
                networks[len(rows)] = network
            rows.append(row)
            frame = write_table(rows, output)
    if options.seconds and networks:
        _add_speed(rows, networks, folder, options)
        frame = write_table(rows, output)
    return frame


def _found(
    records: Path, find_run: Callable[[str], FinishedRun], options: CompareOptions
) -> list[FinishedRun | dict[str, Any]]:
    """The runs, or the rows that say why one cannot be compared; before any model is loaded."""
    keys = list(options.keys) or [record.key for record in read_records(records) if record.is_finished]
    if not keys:
        msg = f"{records}/runs: there is no finished run in it; expected the output folder of `benchmark run`"
        raise ValueError(msg)
    found: list[FinishedRun | dict[str, Any]] = []
    for key in keys:
        try:
            run = find_run(key)
            run.check(needs_images=True)
        except (RuntimeError, OSError, ValueError) as error:
            if isinstance(error, ValueError) and options.keys:  # a key that is none: what was asked for cannot be done
                raise
            found.append(rejected(new_row(run=key), error))
            last = error
        else:
            found.append(run)
            if run.told:
                logger.warning("%s", run.told)
    if all(isinstance(one, dict) for one in found):
        raise last
    return found


def _add_speed(rows: list[dict[str, Any]], networks: dict[int, Path], folder: Path, options: CompareOptions) -> None:
    """Measure every network in turn, as often as asked for, and put the medians into its row."""
    speeds = measure(
        list(networks.values()),
        folder,
        streams=[options.streams],
        batches=[options.batch],
        seconds=options.seconds,
        repeats=options.repeats,
    )
    for place, (row, _) in enumerate(networks.items()):
        of_one = speeds.loc[[place]].set_index("what")
        for what, column in MEASURED.items():
            rows[row][f"{column}_images_per_second"] = of_one["images_per_second"].get(what)
        rows[row]["latency_p50_ms"] = of_one.at["network", "latency_p50_ms"]
    judge_speed(rows)
