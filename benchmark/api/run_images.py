"""The images that belong to the model of a finished run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmark.one_run.preparation import Prepared
from benchmark.one_run.refinement_run import SUSPECTS
from benchmark.records.run_files import SCORES
from extensions.data.checks.fingerprints import image_names
from extensions.refinement.review.suspect_lines import written
from inference.measure.labelled_images import LabelledImages


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
    """The test images that are there, those in the table of scores where the run left one: its threshold is theirs."""
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
    return None if samples.empty else LabelledImages.from_samples(samples, what)
