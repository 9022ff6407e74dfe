"""The model of a benchmark's run: the one that was kept, or fitted again as its record says."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.api.chosen_record import choose_record, recorded_experiment
from benchmark.api.product_thresholds import product_thresholds
from benchmark.api.run_data import Place, fitted_on, locate, trained_on
from benchmark.one_run.options import RunOptions
from benchmark.one_run.preparation import Prepared, prepare
from benchmark.one_run.runner import run_experiment
from benchmark.plan.experiment import Experiment
from benchmark.records.kept_thresholds import kept_thresholds
from benchmark.records.packed import read_calibration, read_scores
from benchmark.records.record import Record
from benchmark.records.record_sections import Thresholds
from benchmark.records.run_files import CHECKPOINT
from benchmark.statistics.requirement import Requirement, read_requirement
from extensions.data.reading.files import from_data_root
from inference.export.product_thresholds import ProductThreshold
from inference.export.trained_run import TrainedRun
from inference.model.checkpoints import load_checkpoint, record_beside
from inference.model.scale import with_thresholds

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoundRun:
    """A finished run whose data were looked for; nothing of its model is loaded yet.

    Attributes:
        key: Of the record asked for.
        folder: Where its model lies, if it was kept.
        prepared: Of the run with a plain test.
        place: Where its data were looked for last.
        told: Why it is this run, where `best` was asked for.
        requirement: What its thresholds keep, or a fit that is done again; None for none.
        is_asked: Whether that was asked for, in place of what its record says.
        products: Thresholds of all products that its model was trained on together; none for one.
    """

    key: str
    folder: Path
    prepared: Prepared
    place: Place
    told: str = ""
    requirement: Requirement | None = None
    is_asked: bool = False
    products: tuple[ProductThreshold, ...] = ()

    @property
    def is_kept(self) -> bool:
        """Whether its model was kept."""
        return (self.folder / CHECKPOINT).is_file()

    @property
    def has_images(self) -> bool:
        """Whether its images were found and can be used."""
        return self.prepared.fingerprint is not None

    def check(self, *, needs_images: bool) -> None:
        """Whether the model can be had, before any work.

        Args:
            needs_images: Whether the training images are needed, too.

        Raises:
            RuntimeError: It was not kept and cannot be fitted again, or its images are not where they are looked for.
            ValueError: Its scores cannot be read, or allow no thresholds for what is required.
        """
        self._thresholds()
        error = self.prepared.error
        if error is None or (self.is_kept and (self.has_images or not needs_images)):
            return
        what = f"the images of run {self.key}" if self.is_kept else f"run {self.key} was not kept and"
        why = "cannot be had" if self.is_kept else "cannot be fitted again"
        msg = (
            f"{what} {why}: {' '.join(str(error).split())}; its relative data roots start at {self.place}: give the "
            "folder that holds its data by --data-root"
        )
        raise RuntimeError(msg) from error

    def load(self, *, model_class: str | None = None) -> TrainedRun:
        """The model.

        Args:
            model_class: Its class, where neither the checkpoint nor the record tells.

        Raises:
            RuntimeError: It was not kept, and fitting it again failed or leaves no model.
            ValueError: As `check`.
        """
        self.check(needs_images=False)
        if self.is_kept:
            if not self.has_images:
                logger.warning(
                    "the images that run %s was trained on were not found: %s", self.key, self.prepared.error
                )
            return self._loaded(self.folder, model_class)
        logger.warning("run %s was not kept and is fitted again", self.key)
        with tempfile.TemporaryDirectory() as scratch:
            return self._loaded(_fitted_again(self, Path(scratch)), model_class)

    def _loaded(self, folder: Path, model_class: str | None) -> TrainedRun:
        model, info = load_checkpoint(folder / CHECKPOINT, model_class=model_class)
        if folder == self.folder and (found := self._thresholds()) is not None:
            info = with_thresholds(info, model, found)
        if self.is_asked and info.threshold is None:
            raise self._no_threshold(info.threshold_source)
        is_crossed = self.requirement is not None and self.requirement.cross_conformal is not None
        fitted = None if is_crossed else fitted_on(self.prepared, folder)  # no network scores images it was fitted on
        return TrainedRun(model, info, trained_on(self.prepared, folder), fitted, self.products)

    def _thresholds(self) -> Thresholds | None:
        """Those asked for, fitted on the scores of a kept run; None where its own count, or it is fitted again."""
        if not (self.is_kept and self.is_asked and self.requirement is not None):
            return None
        record = record_beside(self.folder / CHECKPOINT)
        if record is None:
            msg = f"no record of {CHECKPOINT} lies beside it"
            raise self._no_threshold(msg)
        scores, calibration = read_scores(self.folder, record), read_calibration(self.folder, record)
        try:
            how = record.dataset.part_score
            found = kept_thresholds(scores, self.requirement, calibration=calibration, part_score=how)
        except ValueError as error:
            msg = f"run {self.key}: its scores in {self.folder} cannot be used: {error}; run it again"
            raise ValueError(msg) from error
        if found.image is None:
            raise self._no_threshold(found.source)
        return found

    def _no_threshold(self, why: str | None) -> ValueError:
        asked = "" if self.requirement is None else f" for {self.requirement.told}"
        return ValueError(
            f"run {self.key}: it has no threshold{asked} ({why}); require something else, or run the benchmark with "
            "this requirement and such images"
        )


def find_run(
    record_key: str, records: Path, data_root: Path | None = None, *, requirement: Requirement | None = None
) -> FoundRun:
    """Find a finished run and its data; no model is loaded.

    A network on the line sees each image once and as it is: of a run whose test images were augmented the model and
    threshold are those of the same run with a plain test.

    Args:
        record_key: The run's key or the beginning of it, `best`, or `best:` and a data set.
        records: Output folder of the benchmark.
        data_root: Where relative data roots start; None looks at `$WORKBENCH_DATA`, then where the run found them.
        requirement: What its thresholds are to keep; None leaves that to its record.

    Raises:
        ValueError: There is not exactly one such run, it did not finish, or its record cannot be used.
    """
    record, why = choose_record(record_key, records)
    folder = records / record.folder
    experiment = recorded_experiment(record, folder)
    prepared, place = locate(_tested_plainly(experiment), record, folder, experiment, data_root)
    known = requirement or _requirement(record, folder)
    products = product_thresholds(record, records, requirement=requirement)
    found = FoundRun(
        record.key, folder, prepared, place, why, known, is_asked=requirement is not None, products=products
    )
    return _of_plain_test(found, experiment, records)


def find_experiment(experiment: Experiment, record: Record, records: Path) -> FoundRun:
    """As `find_run`, where the experiment is known with its folders, which records do not keep."""
    prepared = prepare(_tested_plainly(experiment))
    folder = records / record.folder
    place = Place(from_data_root(""), "in force")
    products = product_thresholds(record, records)
    found = FoundRun(record.key, folder, prepared, place, requirement=_requirement(record, folder), products=products)
    return _of_plain_test(found, experiment, records)


def find_beside(
    checkpoint: Path, data_root: Path | None = None, *, requirement: Requirement | None = None
) -> FoundRun | None:
    """The run that left a checkpoint, by the record beside it; None where there is no record. Else as `find_run`."""
    record = record_beside(checkpoint)
    if record is None:
        return None
    experiment = recorded_experiment(record, checkpoint.parent)
    prepared, place = locate(experiment, record, checkpoint.parent, experiment, data_root)
    known, is_asked = requirement or _requirement(record, checkpoint.parent), requirement is not None
    return FoundRun(record.key, checkpoint.parent, prepared, place, requirement=known, is_asked=is_asked)


def _requirement(record: Record, folder: Path) -> Requirement | None:
    """What the thresholds of a record keep.

    Raises:
        ValueError: The record holds none that can be.
    """
    try:
        return read_requirement(record.thresholds.requirement)
    except ValueError as error:
        msg = f"{folder}: {error}; run it again with --overwrite all"
        raise ValueError(msg) from error


def _of_plain_test(run: FoundRun, experiment: Experiment, records: Path) -> FoundRun:
    """The run whose model and threshold are taken, told where it is not the one asked for."""
    prepared = run.prepared
    if any(one.in_test for one in experiment.augmentations):
        told = " and ".join(map(str, experiment.augmentations))
        logger.warning("run %s has %s; a model on the line sees images as they are, so a plain test decides its "
                       "threshold", run.key, told)  # fmt: skip
        return replace(run, folder=records / prepared.folder)
    if prepared.key != run.key and prepared.error is None:
        logger.warning("data or weights of run %s have changed since; this is run %s", run.key, prepared.key)
    return run


def _tested_plainly(experiment: Experiment) -> Experiment:
    """The experiment itself, or without what happens to its test images: scores of those say nothing of plain ones.

    Its fit is the same.
    """
    if not any(one.in_test for one in experiment.augmentations):
        return experiment
    trained = [replace(one, where="train").told for one in experiment.augmentations if one.in_training]
    return replace(experiment, augmentation=trained or None)


def _fitted_again(run: FoundRun, scratch: Path) -> Path:
    """Folder of the run in `scratch`, with its checkpoint."""
    prepared, key = run.prepared, run.key
    options = RunOptions(sweep="export", data_root=prepared.data_root, requirement=run.requirement)
    again = run_experiment(prepared.experiment, scratch, options=options)
    assert again is not None, "nobody else runs in a folder of our own"
    if again.error is not None:
        msg = f"run {key} was not kept and could not be fitted again: {again.error.message}"
        raise RuntimeError(msg)
    folder = scratch / again.folder
    if not (folder / CHECKPOINT).is_file():
        msg = f"run {key} leaves no model: its refinement only removes images; choose a run that trains on the rest"
        raise RuntimeError(msg)
    return folder
