"""The models of a benchmark beside one another on the line: agreement with training, accuracy, speed, size."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from extensions.progress import finished_step
from extensions.whole_file import write_whole

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule

    from inference.metadata import ModelInfo

TABLE = "comparison.csv"
COLUMNS = (
    "run", "model", "backbone", "precision", "n_pictures", "largest_score_difference", "mean_score_difference",
    "largest_map_difference", "n_flipped", "n_flipped_near", "image_AUROC_trained", "image_AUROC",
    "backbone_images_per_second", "network_images_per_second", "end_to_end_images_per_second", "latency_p50_ms",
    "megabytes", "error",
)  # fmt: skip
MEASURED = {"backbone": "backbone", "network": "network", "end to end": "end_to_end"}


@dataclass(frozen=True)
class CompareOptions:
    """How models are compared.

    Attributes:
        precisions: Of the exports.
        keys: Of the runs, or their beginnings; empty takes every finished one.
        data_root: Where relative data roots of the records start.
        streams: Batches computed at the same time, when speed is measured.
        batch: Pictures computed together.
        seconds: Of each measurement of speed; 0 measures none.
        repeats: Measurements of each, the models taking turns; the median counts.
    """

    precisions: Sequence[str] = ("fp32",)
    keys: Sequence[str] = ()
    data_root: Path | None = None
    streams: int = 2
    batch: int = 8
    seconds: float = 3.0
    repeats: int = 3


def compare_runs(records: Path, folder: Path, output: Path, options: CompareOptions | None = None) -> pd.DataFrame:
    """Export the models of a benchmark and hold each against what was trained, on every picture of a folder.

    A model that cannot be exported, or differs by more than is accepted, is a row with its `error`; the others go on.
    The table is written after each model, the exports are in `<output>/<model>-<key>/<precision>`.

    Args:
        records: Output folder of `benchmark run`; models that it did not keep are fitted again.
        folder: Labelled pictures: `good` and others, such as `test` of an MVTec category.
        output: For the exports and `comparison.csv`.
        options: See `CompareOptions`.

    Returns:
        One row of `COLUMNS` for each model and precision. Differences are parts of the range of the trained model's
        scores, and of its maps, on these pictures; `n_flipped_near` counts labels that differ within the tolerance of
        the threshold, `n_flipped` the others. AUROCs are those of these pictures.

    Raises:
        ValueError: There is no such run, or the folder is not labelled.
    """
    from benchmark.archive import load
    from inference.quantization import labelled_pictures

    options = options or CompareOptions()
    files, labels = labelled_pictures(folder)
    known = [record["key"] for record in load(records).records if record["status"] == "finished"]
    keys = list(options.keys) or known
    if not keys:
        msg = f"{records}/runs: there is no finished run in it; expected the output folder of `benchmark run`"
        raise ValueError(msg)
    rows: list[dict[str, Any]] = []
    exports: dict[int, Path] = {}
    for key in keys:
        for row, exported in _exported(key, records, output, files, labels, options):
            if exported is not None:
                exports[len(rows)] = exported
            rows.append(row)
            frame = _written(rows, output)
    if options.seconds and exports:
        _add_speed(rows, exports, folder, options)
        frame = _written(rows, output)
    return frame


def _exported(
    key: str, records: Path, output: Path, files: list[Path], labels: np.ndarray, options: CompareOptions
) -> list[tuple[dict[str, Any], Path | None]]:
    """Rows of one run, and its exports."""
    from inference.runs import model_of_run

    try:
        model, info, trained_on = model_of_run(key, records, options.data_root)
    except (ValueError, RuntimeError, OSError) as error:
        return [(_row({"run": key, "error": _sentence(error)}), None)]
    found: list[tuple[dict[str, Any], Path | None]] = []
    for precision in options.precisions:
        target = output / f"{info.model}-{str(info.run_key or key)[:8]}" / precision
        row = _row(
            {
                "run": info.run_key or key,
                "model": info.model,
                "backbone": (info.backbone or {}).get("name"),
                "precision": precision,
            }
        )
        try:
            row |= _agreement(model, info, target, precision, trained_on, files, labels)
        except (ValueError, RuntimeError, OSError) as error:
            found.append((row | {"error": _sentence(error)}, None))
            continue
        found.append((row, target / "model.xml"))
        finished_step(f"{info.model} {precision}: exported and compared")
    return found


def _agreement(
    model: AnomalibModule,
    info: ModelInfo,
    target: Path,
    precision: str,
    trained_on: list[Path],
    files: list[Path],
    labels: np.ndarray,
) -> dict[str, Any]:
    """Export, then compare on all pictures of the folder."""
    from sklearn.metrics import roc_auc_score

    from inference.agreement import TOLERANCES, compare
    from inference.export import ExportOptions, export_model
    from inference.predictors import load_predictor

    export_model(
        model, info, target, files=trained_on, options=ExportOptions(precision=precision, allow_difference=True)
    )
    with tempfile.TemporaryDirectory() as scratch:
        agreement = compare(
            model,
            load_predictor(target / "model.xml"),
            [(file, "") for file in files],
            names=[file.name for file in files],
            tolerances=TOLERANCES[precision],
            workspace=Path(scratch),
        )
    aurocs = {
        column: roc_auc_score(labels, [row[score] for row in agreement.rows])
        for column, score in (("image_AUROC_trained", "torch_score"), ("image_AUROC", "exported_score"))
    }
    size = sum((target / name).stat().st_size for name in ("model.xml", "model.bin"))
    told = {name: value for name, value in agreement.summary.items() if name in COLUMNS}
    error = None if agreement.agrees else f"differs from training by more than is accepted: {agreement.sentence()}"
    return told | aurocs | {"megabytes": size / 1e6, "error": error}


def _add_speed(rows: list[dict[str, Any]], exports: dict[int, Path], folder: Path, options: CompareOptions) -> None:
    """Measure every export in turn, as often as asked for, and put the medians into its row."""
    from inference.bench import measure

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


def _written(rows: list[dict[str, Any]], output: Path) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    write_whole(output / TABLE, frame.to_csv(index=False))
    return frame


def _row(values: dict[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(COLUMNS) | values


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())
