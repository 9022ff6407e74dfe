"""The model of a benchmark's run: the one that was kept, or fitted again as its record says."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule

    from benchmark.one_run.preparation import Prepared
    from benchmark.plan.experiment import Experiment
    from inference.measure.threshold_refit import FittedOn
    from inference.model.metadata import ModelInfo

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """Where relative data roots of a run start: an absolute folder, and who says so."""

    root: Path
    source: str

    def __str__(self) -> str:
        return f"{self.root} ({self.source})"


@dataclass(frozen=True)
class TrainedRun:
    """A run's model and what belongs to it.

    Attributes:
        model: On the CPU.
        info: Its facts.
        images: Its training images without those that a refinement removed; none where they are not on this machine.
        fitted_on: The images its threshold was fitted on; None where they are not on this machine.
    """

    model: AnomalibModule
    info: ModelInfo
    images: list[Path]
    fitted_on: FittedOn | None


@dataclass(frozen=True)
class FoundRun:
    """A finished run whose data were looked for; nothing of its model is loaded yet.

    Attributes:
        key: Of the record asked for.
        folder: Where its model lies, if it was kept.
        prepared: Of the run with a plain test.
        place: Where its data were looked for last.
        told: Why it is this run, where `best` was asked for.
    """

    key: str
    folder: Path
    prepared: Prepared
    place: Place
    told: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether its model was kept."""
        from benchmark.records.store import CHECKPOINT

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
        """
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

    def load(self) -> TrainedRun:
        """The model.

        Raises:
            RuntimeError: It was not kept, and fitting it again failed or leaves no model.
        """
        from benchmark.records.store import CHECKPOINT
        from inference.model.checkpoints import load_checkpoint

        self.check(needs_images=False)
        if self.is_kept:
            if not self.has_images:
                logger.warning(
                    "the images that run %s was trained on were not found: %s", self.key, self.prepared.error
                )
            return self.trained(self.folder, *load_checkpoint(self.folder / CHECKPOINT))
        logger.warning("run %s was not kept and is fitted again", self.key)
        with tempfile.TemporaryDirectory() as scratch:
            folder = _fitted_again(self.prepared, Path(scratch), self.key)
            return self.trained(folder, *load_checkpoint(folder / CHECKPOINT))

    def trained(self, folder: Path, model: AnomalibModule, info: ModelInfo) -> TrainedRun:
        """Its model, loaded from a folder, with its images."""
        return TrainedRun(model, info, _trained_on(self.prepared, folder), _fitted_on(self.prepared, folder))


def model_of_run(
    record_key: str, records: Path, data_root: Path | None = None
) -> tuple[AnomalibModule, ModelInfo, list[Path]]:
    """The trained model of a finished run, what is known of it, and the images it was trained on.

    See `find_run` for the arguments and `FoundRun.load` for what else there is.

    Raises:
        ValueError: As `find_run`.
        RuntimeError: As `FoundRun.load`.
    """
    run = find_run(record_key, records, data_root).load()
    return run.model, run.info, run.images


def find_run(record_key: str, records: Path, data_root: Path | None = None) -> FoundRun:
    """Find a finished run and its data; no model is loaded.

    A network on the line sees each image once and as it is: of a run whose test images were augmented the model and
    threshold are those of the same run with a plain test.

    Args:
        record_key: The run's key or the beginning of it, `best`, or `best:` and a data set.
        records: Output folder of the benchmark.
        data_root: Where relative data roots start; None looks at `$WORKBENCH_DATA`, then where the run found them.

    Raises:
        ValueError: There is not exactly one such run, it did not finish, or its record cannot be used.
    """
    record, why = _the_record(record_key, records)
    folder = records / record["folder"]
    experiment = experiment_of(record)
    plain = _tested_plainly(experiment)
    prepared, place = _located(plain, record, folder, experiment, data_root)
    run = FoundRun(record["key"], folder, prepared, place, why)
    return _of_plain_test(run, experiment, records)


def found_of(experiment: Experiment, key: str, folder: Path, records: Path) -> FoundRun:
    """As `find_run`, where the experiment is known with its folders, which records do not keep.

    Args:
        experiment: What was run.
        key: Of the run.
        folder: Where its files are.
        records: Output folder of the benchmark.
    """
    from benchmark.one_run.preparation import prepare
    from extensions.data.reading.files import from_data_root

    prepared = prepare(_tested_plainly(experiment))
    return _of_plain_test(FoundRun(key, folder, prepared, Place(from_data_root(""), "in force")), experiment, records)


def _of_plain_test(run: FoundRun, experiment: Experiment, records: Path) -> FoundRun:
    """The run whose model and threshold are taken, told where it is not the one asked for."""
    from benchmark.records.store import Store

    prepared = run.prepared
    if any(one.in_test for one in experiment.augmentations):
        told = " and ".join(map(str, experiment.augmentations))
        logger.warning("run %s has %s; a model on the line sees images as they are, so a plain test decides its "
                       "threshold", run.key, told)  # fmt: skip
        return replace(run, folder=prepared.folder(Store(records)))
    if prepared.key != run.key and prepared.error is None:
        logger.warning("data or weights of run %s have changed since; this is run %s", run.key, prepared.key)
    return run


def find_beside(checkpoint: Path, data_root: Path | None = None) -> FoundRun | None:
    """The run that left a checkpoint, by the record beside it; None where there is no record."""
    from inference.model.checkpoints import record_beside

    record = record_beside(checkpoint)
    if record is None:
        return None
    experiment = experiment_of(record | {"folder": str(checkpoint.parent)})
    prepared, place = _located(experiment, record, checkpoint.parent, experiment, data_root)
    return FoundRun(record["key"], checkpoint.parent, prepared, place)


def experiment_of(record: dict[str, Any]) -> Experiment:
    """What was run, of which all that decides a result is in the record.

    Raises:
        ValueError: It is no record of ours.
    """
    from benchmark.plan.experiment import Experiment

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


def _located(
    plain: Experiment, record: dict[str, Any], folder: Path, experiment: Experiment, data_root: Path | None
) -> tuple[Prepared, Place]:
    """The run prepared where its images are: where the data root given, or in force, or kept with the run has them."""
    from benchmark.one_run.preparation import prepare
    from benchmark.records.local import read_local
    from extensions.data.reading.files import named_data_root

    local = read_local(folder, experiment)
    if local is not None:  # the paths of weights, too
        plain = replace(plain, model=local.experiment.model)
    places = [(Place(data_root.resolve(), "--data-root"), plain)] if data_root is not None else []
    if not places and (named := named_data_root()) is not None:
        places.append((Place(named.resolve(), "$WORKBENCH_DATA"), plain))
    if data_root is None and local is not None:
        places.append((Place(local.data_root, "kept with the run"), replace(plain, data=local.experiment.data)))
    if not places:
        places.append((Place(Path.cwd(), "the working directory"), plain))
    found: list[tuple[Prepared, Place]] = []
    for place, asked in places:
        found.append((prepare(asked, place.root), place))
        content = found[-1][0].fingerprint
        if content is not None and content.sha256 == record["dataset"].get("sha256"):
            break
    else:  # nowhere as they were: the first that can be used, else what was looked for first
        found.sort(key=lambda one: one[0].fingerprint is None)
        return found[0]
    if len(found) > 1:
        logger.warning("the images of run %s are not at %s; those at %s are used", record["key"], places[0][0], place)
    return found[-1]


def _the_record(record_key: str, records: Path) -> tuple[dict[str, Any], str]:
    """The record that a key or `best` names, and why it is this one."""
    from benchmark.records.archive import load
    from benchmark.tables.best import best_run, is_best

    archive = load(records)
    if is_best(record_key):
        best = best_run(record_key, archive, records)
        return best.record, best.told
    found = {record["key"]: record for record in archive.records if record["key"].startswith(record_key)}
    if len(found) != 1:
        msg = f"--run {record_key}: expected one run with this key in {records / 'runs'}, found {_some(sorted(found))}"
        raise ValueError(msg)
    (record,) = found.values()
    if record["status"] != "finished":
        msg = f"--run {record_key}: this run is {record['status']}, so there is no model of it; choose a finished one"
        raise ValueError(msg)
    return record, ""


def _some(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return (", ".join(keys[:3]) or "none") + more


def _tested_plainly(experiment: Experiment) -> Experiment:
    """The experiment itself, or without what happens to its test images: scores of those say nothing of plain ones.

    Its fit is the same.
    """
    if not any(one.in_test for one in experiment.augmentations):
        return experiment
    trained = [replace(one, where="train").told for one in experiment.augmentations if one.in_training]
    return replace(experiment, augmentation=trained or None)


def _fitted_again(prepared: Prepared, scratch: Path, key: str) -> Path:
    """Folder of the run in `scratch`, with its checkpoint."""
    from benchmark.one_run.runner import RunOptions, run_experiment
    from benchmark.records.store import CHECKPOINT, Store

    options = RunOptions(sweep="export", keep_checkpoint=True, data_root=prepared.data_root)
    again = run_experiment(prepared.experiment, scratch, options=options)
    assert again is not None, "nobody else runs in a folder of our own"
    folder = prepared.folder(Store(scratch))
    if again["status"] != "finished":
        msg = f"run {key} was not kept and could not be fitted again: {again['error']['message']}"
        raise RuntimeError(msg)
    if not (folder / CHECKPOINT).is_file():
        msg = f"run {key} leaves no model: its refinement only removes images; choose a run that trains on the rest"
        raise RuntimeError(msg)
    return folder


def _trained_on(prepared: Prepared, folder: Path) -> list[Path]:
    """The training images that are there, without those that the run's refinement removed, as its table tells."""
    import pandas as pd

    from benchmark.one_run.refinement_run import SUSPECTS
    from extensions.data.checks.fingerprints import image_names
    from extensions.refinement.review.suspect_lines import written

    if prepared.fingerprint is None or prepared.datamodule is None:
        return []
    files = sorted(map(Path, prepared.datamodule.train_data.samples["image_path"]))
    if prepared.experiment.refinement is None or not (folder / SUSPECTS).is_file():
        return files
    told = pd.read_csv(folder / SUSPECTS)
    removed = set(told.loc[told["removed_in_round"].notna(), "image"])
    name_of = image_names(prepared.datamodule)
    return [file for file in files if written(name_of(str(file))) not in removed]


def _fitted_on(prepared: Prepared, folder: Path) -> FittedOn | None:
    """The test images that are there, those in the table of scores where the run left one: its threshold is theirs."""
    import pandas as pd

    from benchmark.records.store import SCORES
    from extensions.data.checks.fingerprints import image_names
    from inference.measure.threshold_refit import FittedOn

    if prepared.fingerprint is None or prepared.datamodule is None:
        return None
    samples = prepared.datamodule.test_data.samples
    what = f"the test images of run {prepared.key}"
    if (folder / SCORES).is_file():
        name_of = image_names(prepared.datamodule)
        scored = set(pd.read_csv(folder / SCORES)["image"])
        samples = samples[[name_of(str(path)) in scored for path in samples["image_path"]]]
        if len(samples) < len(scored):
            what += f" ({len(samples)} of {len(scored)} are there)"
    if samples.empty:
        return None
    return FittedOn.from_samples(samples, what)
