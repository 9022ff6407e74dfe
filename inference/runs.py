"""The model of a benchmark's run: the one that was kept, or fitted again as its record says."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule

    from benchmark.experiment import Experiment
    from benchmark.preparation import Prepared
    from inference.metadata import ModelInfo

logger = logging.getLogger(__name__)


def model_of_run(
    record_key: str, records: Path, data_root: Path | None = None
) -> tuple[AnomalibModule, ModelInfo, list[Path]]:
    """The trained model of a finished run, what is known of it, and the pictures it was trained on.

    A network on the line sees each picture once and as it is: of a run whose test pictures were augmented the model
    and threshold are those of the same run with a plain test.

    Args:
        record_key: The run's key or the beginning of it.
        records: Output folder of the benchmark.
        data_root: Where relative data roots start; None leaves `$WORKBENCH_DATA`.

    Returns:
        The model on the CPU, its facts, and its training pictures without those that a refinement removed; none where
        they are not on this machine and the model was kept.

    Raises:
        ValueError: There is not exactly one such run, it did not finish, or its record cannot be used.
        RuntimeError: It was not kept, and fitting it again failed or leaves no model.
    """
    if data_root is not None:
        os.environ["WORKBENCH_DATA"] = str(data_root.resolve())
    record = _the_record(record_key, records)
    return model_of_experiment(_experiment_of(record), record["key"], records / record["folder"], records)


def model_of_experiment(
    experiment: Experiment, key: str, folder: Path, records: Path
) -> tuple[AnomalibModule, ModelInfo, list[Path]]:
    """As `model_of_run`, where the experiment is known with its folders, which records do not keep.

    Args:
        experiment: What was run.
        key: Of the run.
        folder: Where its files are.
        records: Output folder of the benchmark.

    Raises:
        RuntimeError: As in `model_of_run`.
    """
    from benchmark.preparation import prepare
    from benchmark.store import CHECKPOINT, Store
    from inference.checkpoints import load_checkpoint

    plain = _tested_plainly(experiment)
    prepared = prepare(plain)
    folder = folder if plain is experiment else prepared.folder(Store(records))
    if plain is not experiment:
        told = " and ".join(map(str, experiment.augmentations))
        logger.warning("run %s has %s; a model on the line sees pictures as they are, so a plain test decides its "
                       "threshold", key, told)  # fmt: skip
    elif prepared.key != key and prepared.error is None:
        logger.warning("data or weights of run %s have changed since; this is run %s", key, prepared.key)
    if (folder / CHECKPOINT).is_file():
        if prepared.fingerprint is None:
            logger.warning("the pictures that run %s was trained on were not found: %s", key, prepared.error)
        return *load_checkpoint(folder / CHECKPOINT), _trained_on(prepared, folder)
    if prepared.error is not None:
        msg = f"run {key} was not kept and cannot be fitted again: {prepared.error}"
        raise RuntimeError(msg) from prepared.error
    logger.warning("run %s was not kept and is fitted again", key)
    with tempfile.TemporaryDirectory() as scratch:
        folder = _fitted_again(plain, prepared, Path(scratch), key)
        return *load_checkpoint(folder / CHECKPOINT), _trained_on(prepared, folder)


def _the_record(record_key: str, records: Path) -> dict[str, Any]:
    from benchmark.archive import load

    found = {record["key"]: record for record in load(records).records if record["key"].startswith(record_key)}
    if len(found) != 1:
        msg = f"--run {record_key}: expected one run with this key in {records / 'runs'}, found {_some(sorted(found))}"
        raise ValueError(msg)
    (record,) = found.values()
    if record["status"] != "finished":
        msg = f"--run {record_key}: this run is {record['status']}, so there is no model of it; choose a finished one"
        raise ValueError(msg)
    return record


def _some(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return (", ".join(keys[:3]) or "none") + more


def _experiment_of(record: dict[str, Any]) -> Experiment:
    """What was run, of which all that decides a result is in the record.

    Raises:
        ValueError: It is no record of ours.
    """
    from benchmark.experiment import Experiment

    try:
        told = record["experiment"]
        experiment = Experiment(
            told["model"],
            told["data"],
            told["trainer"],
            told["seed"],
            refinement=told.get("refinement"),
            augmentation=told.get("augmentation"),
        )
        _ = experiment.canonical
    except (KeyError, TypeError, AttributeError) as error:
        msg = (
            f"{record['folder']}: the record does not say what was run ({type(error).__name__}: {error}); run it again"
        )
        raise ValueError(msg) from error
    return experiment


def _tested_plainly(experiment: Experiment) -> Experiment:
    """The experiment itself, or without what happens to its test pictures: scores of those say nothing of plain ones.

    Its fit is the same.
    """
    if not any(one.in_test for one in experiment.augmentations):
        return experiment
    trained = [replace(one, where="train").told for one in experiment.augmentations if one.in_training]
    return replace(experiment, augmentation=trained or None)


def _fitted_again(experiment: Experiment, prepared: Prepared, scratch: Path, key: str) -> Path:
    """Folder of the run in `scratch`, with its checkpoint."""
    from benchmark.runner import RunOptions, run_experiment
    from benchmark.store import CHECKPOINT, Store

    again = run_experiment(experiment, scratch, options=RunOptions(sweep="export", keep_checkpoint=True))
    assert again is not None, "nobody else runs in a folder of our own"
    folder = prepared.folder(Store(scratch))
    if again["status"] != "finished":
        msg = f"run {key} was not kept and could not be fitted again: {again['error']['message']}"
        raise RuntimeError(msg)
    if not (folder / CHECKPOINT).is_file():
        msg = f"run {key} leaves no model: its refinement only removes pictures; choose a run that trains on the rest"
        raise RuntimeError(msg)
    return folder


def _trained_on(prepared: Prepared, folder: Path) -> list[Path]:
    """The training pictures that are there, without those that the run's refinement removed, as its table tells."""
    import pandas as pd

    from benchmark.refined import SUSPECTS
    from extensions.data.fingerprints import picture_names
    from extensions.refinement.suspect_lines import written

    if prepared.fingerprint is None or prepared.datamodule is None:
        return []
    files = sorted(map(Path, prepared.datamodule.train_data.samples["image_path"]))
    if prepared.experiment.refinement is None or not (folder / SUSPECTS).is_file():
        return files
    told = pd.read_csv(folder / SUSPECTS)
    removed = set(told.loc[told["removed_in_round"].notna(), "image"])
    name_of = picture_names(prepared.datamodule)
    return [file for file in files if written(name_of(str(file))) not in removed]
