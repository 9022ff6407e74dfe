"""The trained model of a benchmark's record."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule

    from inference.metadata import ModelInfo

logger = logging.getLogger(__name__)


def model_of_run(
    key: str, records: Path, data_root: Path | None = None
) -> tuple[AnomalibModule, ModelInfo, list[Path]]:
    """The model of a record, fitted again where its checkpoint was not kept.

    Args:
        key: The record's, or the beginning of it.
        records: Output folder of `benchmark run`.
        data_root: Where relative data roots start; None leaves `$WORKBENCH_DATA`.

    Returns:
        The model on the CPU, what is known of it, and the pictures that it was trained on.

    Raises:
        ValueError: No such finished record, or more than one.
        RuntimeError: It could not be fitted again.
    """
    from benchmark.archive import load
    from benchmark.preparation import prepare
    from benchmark.store import CHECKPOINT
    from inference.checkpoints import load_checkpoint

    if data_root is not None:
        os.environ["WORKBENCH_DATA"] = str(data_root.resolve())
    record = _record(key, records, load(records).records)
    experiment = _experiment(record)
    prepared = prepare(experiment)
    if prepared.error is not None:
        raise prepared.error
    if prepared.key != record["key"]:
        logger.warning("data or weights of run %s have changed since; this is run %s", record["key"], prepared.key)
    assert prepared.datamodule is not None
    files = sorted(map(Path, prepared.datamodule.train_data.samples["image_path"]))
    kept = records / record["folder"] / CHECKPOINT
    if kept.is_file():
        return *load_checkpoint(kept), files
    logger.warning("run %s was not kept and is fitted again", record["key"])
    return *_fitted_again(record, experiment, prepared), files


def _record(key: str, records: Path, found: list[dict[str, Any]]) -> dict[str, Any]:
    chosen = [record for record in found if record["key"].startswith(key)]
    if len(chosen) != 1:
        told = ", ".join(sorted(record["key"] for record in chosen)) or "none"
        msg = f"--run {key}: expected one record with this key in {records}/runs, found {told}"
        raise ValueError(msg)
    if chosen[0]["status"] != "finished":
        msg = f"--run {key}: this run is {chosen[0]['status']}, so there is no model of it; choose a finished one"
        raise ValueError(msg)
    return chosen[0]


def _experiment(record: dict[str, Any]) -> Any:
    from benchmark.experiment import Experiment

    told = record["experiment"]
    return Experiment(
        told["model"], told["data"], told["trainer"], told["seed"], told.get("refinement"), told.get("augmentation")
    )


def _fitted_again(record: dict[str, Any], experiment: Any, prepared: Any) -> tuple[AnomalibModule, ModelInfo]:
    from benchmark.runner import RunOptions, run_experiment
    from benchmark.store import CHECKPOINT, Store
    from inference.checkpoints import load_checkpoint

    with tempfile.TemporaryDirectory() as scratch:
        again = run_experiment(experiment, Path(scratch), options=RunOptions(sweep="export", keep_checkpoint=True))
        if again is None or again["status"] != "finished":
            reason = again["error"]["message"] if again is not None else "another process is running it"
            msg = f"run {record['key']} could not be fitted again: {reason}"
            raise RuntimeError(msg)
        return load_checkpoint(prepared.folder(Store(Path(scratch))) / CHECKPOINT)
