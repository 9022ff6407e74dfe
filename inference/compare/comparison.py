"""The models of a benchmark beside one another on the line: agreement with training, accuracy, speed, size."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmark.records.archive import load
from extensions.runtime.atomic_write import write_whole
from extensions.runtime.progress import finished_step
from inference.compare.verdicts import KEPT, REJECTED, judge_speed

if TYPE_CHECKING:
    from inference.export.trained_run import FinishedRun, TrainedRun

logger = logging.getLogger(__name__)

TABLE = "comparison.csv"
COLUMNS = (
    "run", "model", "backbone", "precision", "n_images", "largest_score_difference", "mean_score_difference",
    "largest_map_difference", "n_flipped", "n_flipped_near", "image_AUROC_trained", "image_AUROC",
    "threshold_trained", "threshold", "threshold_fitted_on", "backbone_images_per_second",
    "network_images_per_second", "end_to_end_images_per_second", "latency_p50_ms", "megabytes", "verdict", "error",
)  # fmt: skip
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
        `threshold_fitted_on`, blank where it is that of training. `n_flipped_near` counts labels that differ within the
        tolerance of a threshold of training, `n_flipped` the others. AUROCs are those of these images. `verdict` is
        `kept`, `rejected`, or `kept, but slower than fp32 here`.

    Raises:
        ValueError: There is no such run, or the folder is not labelled.
        RuntimeError: The images of none of the runs can be had.
    """
    from inference.export.quantization import labelled_images

    options = options or CompareOptions()
    files, labels = labelled_images(folder)
    found = _found(records, find_run, options)
    rows: list[dict[str, Any]] = []
    exports: dict[int, Path] = {}
    for run in found:
        for row, exported in _exported(run, output, folder, files, labels, options):
            if exported is not None:
                exports[len(rows)] = exported
            rows.append(row)
            frame = _written(rows, output)
    if options.seconds and exports:
        _add_speed(rows, exports, folder, options)
        frame = _written(rows, output)
    return frame


def _found(
    records: Path, find_run: Callable[[str], FinishedRun], options: CompareOptions
) -> list[FinishedRun | dict[str, Any]]:
    """The runs, or the rows that say why one cannot be compared; before any model is loaded."""
    keys = list(options.keys) or [one["key"] for one in load(records).records if one["status"] == "finished"]
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
            found.append(_row({"run": key, "verdict": REJECTED, "error": _sentence(error)}))
            last = error
        else:
            found.append(run)
            if run.told:
                logger.warning("%s", run.told)
    if all(isinstance(one, dict) for one in found):
        raise last
    return found


def _unseen(files: list[Path], trained_on: list[Path]) -> np.ndarray:
    """Places of the files that a model was not trained on."""
    seen = {path.resolve() for path in trained_on}
    return np.flatnonzero([file.resolve() not in seen for file in files])


def _exported(
    run: FinishedRun | dict[str, Any],
    output: Path,
    folder: Path,
    files: list[Path],
    labels: np.ndarray,
    options: CompareOptions,
) -> list[tuple[dict[str, Any], Path | None]]:
    """Rows of one run, and its exports; images that it was trained on are left out."""
    from inference.export.quantization import check_labels

    if isinstance(run, dict):
        return [(run, None)]
    try:
        trained = run.load()
    except (ValueError, RuntimeError, OSError) as error:
        return [(_row({"run": run.key, "verdict": REJECTED, "error": _sentence(error)}), None)]
    info = trained.info
    places = _unseen(files, trained.images)
    chosen = [files[place] for place in places]
    try:
        check_labels(labels[places], folder)
    except ValueError as error:
        told = f"{error}, but for those that the run was trained on; give its test images"
        return [(_row({"run": run.key, "model": info.model, "verdict": REJECTED, "error": told}), None)]
    if len(chosen) < len(files):
        n_seen = len(files) - len(chosen)
        logger.warning("%s: run %s was trained on %d of these images; they are left out", folder, run.key, n_seen)
    rows: list[tuple[dict[str, Any], Path | None]] = []
    for precision in options.precisions:
        target = output / f"{info.model}-{str(info.run_key or run.key)[:8]}" / precision
        row = _row(
            {
                "run": info.run_key or run.key,
                "model": info.model,
                "backbone": (info.backbone or {}).get("name"),
                "precision": precision,
            }
        )
        try:
            row |= _agreement(trained, target, precision, chosen, labels[places])
        except (ValueError, RuntimeError, OSError) as error:
            rows.append((row | {"verdict": REJECTED, "error": _sentence(error)}, None))
            continue
        rows.append((row, target / "model.xml"))
        finished_step(f"{info.model} {precision}: exported and compared")
    return rows


def _agreement(run: TrainedRun, target: Path, precision: str, files: list[Path], labels: np.ndarray) -> dict[str, Any]:
    """Export, then compare on all images of the folder."""
    from sklearn.metrics import roc_auc_score

    from inference.export.write_model import ExportOptions, export_model
    from inference.measure.agreement import AUROC_DROP, TOLERANCES, compare
    from inference.model.predictors import load_predictor

    export_model(
        run.model,
        run.info,
        target,
        files=run.images,
        options=ExportOptions(precision=precision, allow_difference=True, measures_speed=False),
        fitted_on=run.fitted_on,
    )
    predictor = load_predictor(target / "model.xml")
    with tempfile.TemporaryDirectory() as scratch:
        agreement = compare(
            run.model,
            predictor,
            [(file, "") for file in files],
            names=[file.name for file in files],
            tolerances=TOLERANCES[precision],
            workspace=Path(scratch),
        )
    trained, found = (
        float(roc_auc_score(labels, scores))
        for scores in ([row.torch_score for row in agreement.rows], [row.exported_score for row in agreement.rows])
    )
    size = sum((target / name).stat().st_size for name in ("model.xml", "model.bin"))
    told = {name: value for name, value in agreement.summary.on_disk.items() if name in COLUMNS}
    refitted, errors = predictor.info.refitted, []
    if not agreement.agrees:
        errors.append(f"differs from training by more than is accepted: {agreement.sentence()}")
    if refitted and trained - found > AUROC_DROP:
        errors.append(f"the image AUROC falls from {trained:.4f} to {found:.4f}; accepted is {AUROC_DROP} less")
    return told | {
        "image_AUROC_trained": trained,
        "image_AUROC": found,
        "threshold_trained": predictor.info.trained_threshold,
        "threshold": predictor.info.threshold,
        "threshold_fitted_on": refitted.on if refitted else None,
        "megabytes": size / 1e6,
        "verdict": REJECTED if errors else KEPT,
        "error": "; ".join(errors) or None,
    }


def _add_speed(rows: list[dict[str, Any]], exports: dict[int, Path], folder: Path, options: CompareOptions) -> None:
    """Measure every export in turn, as often as asked for, and put the medians into its row."""
    from inference.measure.bench import measure

    speeds = measure(
        list(exports.values()),
        folder,
        streams=[options.streams],
        batches=[options.batch],
        seconds=options.seconds,
        repeats=options.repeats,
    )
    for place, (row, _) in enumerate(exports.items()):
        of_one = speeds.loc[[place]].set_index("what")
        for what, column in MEASURED.items():
            rows[row][f"{column}_images_per_second"] = of_one["images_per_second"].get(what)
        rows[row]["latency_p50_ms"] = of_one.at["network", "latency_p50_ms"]
    judge_speed(rows)


def _written(rows: list[dict[str, Any]], output: Path) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    write_whole(output / TABLE, frame.to_csv(index=False))
    return frame


def _row(values: dict[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(COLUMNS) | values


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())
