"""Where the data of a finished run are on this machine, and which of its images its model has seen."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from benchmark.one_run.preparation import Prepared, prepare
from benchmark.one_run.refinement_run import SUSPECTS
from benchmark.plan.experiment import Experiment
from benchmark.plan.local_paths import read_local
from benchmark.records.record import Record
from benchmark.records.run_files import SCORES
from extensions.data.checks.fingerprints import image_names
from extensions.data.reading.files import named_data_root
from extensions.refinement.review.suspect_lines import written
from inference.measure.labelled_images import LabelledImages

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Place:
    """Where relative data roots of a run start: an absolute folder, and who says so."""

    root: Path
    source: str

    def __str__(self) -> str:
        return f"{self.root} ({self.source})"


def locate(
    plain: Experiment, record: Record, folder: Path, experiment: Experiment, data_root: Path | None
) -> tuple[Prepared, Place]:
    """The run prepared where its images are: where the data root given, or in force, or kept with the run has them.

    Args:
        plain: What is prepared: the run with a plain test.
        record: Of the run.
        folder: Of the record.
        experiment: What was run.
        data_root: Given by the user; None looks at `$WORKBENCH_DATA`, then where the run found its data.
    """
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
        if content is not None and content.sha256 == record.dataset.sha256:
            break
    else:  # nowhere as they were: the first that can be used, else what was looked for first
        found.sort(key=lambda one: one[0].fingerprint is None)
        return found[0]
    if len(found) > 1:
        logger.warning("the images of run %s are not at %s; those at %s are used", record.key, places[0][0], place)
    return found[-1]


def trained_on(prepared: Prepared, folder: Path) -> list[Path]:
    """The training images that are there, without those that the run's refinement removed, as its table tells."""
    if prepared.fingerprint is None or prepared.datamodule is None:
        return []
    files = sorted(map(Path, prepared.datamodule.train_data.samples["image_path"]))
    if prepared.experiment.refinement is None or not (folder / SUSPECTS).is_file():
        return files
    told = pd.read_csv(folder / SUSPECTS)
    removed = set(told.loc[told["removed_in_round"].notna(), "image"])
    name_of = image_names(prepared.datamodule)
    return [file for file in files if written(name_of(str(file))) not in removed]


def fitted_on(prepared: Prepared, folder: Path) -> LabelledImages | None:
    """The images that the run's threshold was fitted on, as far as they are there: of calibration, else of the test.

    Of the test images those count that the table of scores has, where the run left one.
    """
    if prepared.fingerprint is None or prepared.datamodule is None:
        return None
    if (calibration := getattr(prepared.datamodule, "calibration_data", None)) is not None:
        what = f"the calibration images of run {prepared.key}"
        return LabelledImages.from_samples(calibration.samples, what, kind="calibration images")
    samples = prepared.datamodule.test_data.samples
    what = f"the test images of run {prepared.key}"
    if (folder / SCORES).is_file():
        name_of = image_names(prepared.datamodule)
        scored = set(pd.read_csv(folder / SCORES)["image"])
        samples = samples[[name_of(str(path)) in scored for path in samples["image_path"]]]
        if len(samples) < len(scored):
            what += f" ({len(samples)} of {len(scored)} are there)"
    return None if samples.empty else LabelledImages.from_samples(samples, what)
