"""Scores of images that are not tested and that thresholds are fitted on."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmark.one_run.options import RunOptions
from benchmark.one_run.preparation import Prepared, backbone_id
from benchmark.records.kept_thresholds import NO_FOLD
from benchmark.statistics.thresholds import fit_thresholds
from extensions.data.groups import GROUP, joined_parts
from extensions.data.joint_training import PRODUCT, tested_product

if TYPE_CHECKING:
    from anomalib.data import AnomalibDataModule
    from anomalib.models import AnomalibModule


def check_calibration(prepared: Prepared, options: RunOptions) -> None:
    """Refuse images of `calibration_dir` that allow no threshold at the requirement, before the fit.

    Raises:
        ValueError: They are all good, or all defective, and it needs the others.
    """
    data, asked = getattr(prepared.datamodule, "calibration_data", None), options.requirement
    if data is None or (asked is not None and asked.cross_conformal is not None):
        return
    labels = data.samples["label_index"].to_numpy()
    fitted = fit_thresholds(labels, np.zeros(len(labels)), asked, on="images")
    if fitted.lower is None:
        told = "a threshold without a requirement" if asked is None else f"requirement ({asked.told})"
        msg = (
            f"{told}: {fitted.source} in calibration_dir of data set {prepared.dataset!r}; put some there, or leave "
            "calibration_dir out"
        )
        raise ValueError(msg)


def calibration_scores(
    model: AnomalibModule, prepared: Prepared, workspace: Path, options: RunOptions
) -> pd.DataFrame | None:
    """Scores of the images of `calibration_dir` by the fitted model; None where the data set has none.

    Returns:
        As `benchmark.records.packed.read_calibration`.
    """
    datamodule = prepared.datamodule
    data = getattr(datamodule, "calibration_data", None)
    if datamodule is None or data is None:
        return None
    part = copy.copy(datamodule)
    part.test_data = data
    return _Scoring(prepared, part, workspace, options).scores(model).assign(fold=NO_FOLD)


def cross_conformal_scores(prepared: Prepared, workspace: Path, options: RunOptions) -> pd.DataFrame | None:
    """Scores of the good training images, each by a model fitted on the other folds; None where that is not asked for.

    Known defects train all of these models and are scored by none. The folds are dealt by part, or content, and the
    run's seed. Each fit is that of the run, but for the images it lacks. Of a model that was trained on several
    products only the images of the tested one count, for its threshold is theirs.

    Returns:
        As `benchmark.records.packed.read_calibration`.

    Raises:
        ValueError: There are fewer training images that differ than folds.
    """
    from extensions.data.checks.copies import contents_of
    from extensions.data.checks.fingerprints import image_names
    from extensions.data.checks.inspection import inspect_files
    from extensions.data.splits import dealt
    from extensions.models.common.known_defects import is_known_defect

    n_folds = options.requirement.cross_conformal if options.requirement is not None else None
    if n_folds is None:
        return None
    datamodule, seed = prepared.datamodule, prepared.experiment.seed
    assert datamodule is not None
    everything = datamodule.train_data.samples
    is_known = is_known_defect(everything)
    samples, known = everything[~is_known], everything[is_known]
    contents = contents_of(samples["image_path"], inspect_files(samples["image_path"]))
    units = joined_parts(contents, samples[GROUP].tolist()) if GROUP in samples else contents
    if len(set(units)) < n_folds:
        what = "parts among its training images" if GROUP in samples else "training images that differ"
        msg = (
            f"requirement: cross_conformal is {n_folds}, but data set {prepared.dataset!r} has {len(set(units))} "
            f"{what}; expected 2 to {len(set(units))}"
        )
        raise ValueError(msg)
    folds = dealt(units, n_folds, seed=seed)
    found = []
    for fold in range(n_folds):
        part = copy.copy(datamodule)
        part.train_data = _part(datamodule.train_data, pd.concat([samples[folds != fold], known]))
        train = datamodule.train_data
        whole = train.whole() if getattr(train, "gives_tiles", False) else train
        part.test_data = _part(whole, samples[folds == fold])
        found.append(_Scoring(prepared, part, workspace, options).fitted_scores().assign(fold=fold))
    scores = pd.concat(found, ignore_index=True)
    tested = tested_product(prepared.experiment.data.get("init_args") or {})
    if PRODUCT not in samples or tested is None:
        return scores
    name_of = image_names(datamodule)
    own = {name_of(path) for path in samples.loc[samples[PRODUCT] == tested, "image_path"].astype(str)}
    return scores[scores["image"].isin(own)].reset_index(drop=True)


def _part(data: Any, samples: pd.DataFrame) -> Any:
    part = copy.copy(data)
    part.samples = samples.reset_index(drop=True)
    part.samples.attrs.update(data.samples.attrs)
    return part


class _Scoring:
    """The test images of a datamodule under a model of the run, from the cache as far as it has them."""

    def __init__(self, prepared: Prepared, part: AnomalibDataModule, workspace: Path, options: RunOptions) -> None:
        self._experiment = prepared.resolved
        self._part = part
        self._folder = workspace.with_name("engine")
        self._layers = dict(options.layers).get(backbone_id(prepared.experiment), ())

    def fitted_scores(self) -> pd.DataFrame:
        """By a model that is fitted on the datamodule's training images."""
        from lightning import seed_everything

        from benchmark.one_run.training import validates
        from extensions.backbones.stock_weights import stock_weights
        from extensions.configuration import instantiate_model
        from extensions.models.common.imaging_mixin import take_imaging
        from extensions.models.common.known_defects import check_known_defects
        from extensions.models.common.limits import check_n_train
        from extensions.runtime.downloads import fetching
        from extensions.runtime.explained import step

        seed_everything(self._experiment.seed, workers=True, verbose=False)
        with step("building the model"), fetching(), stock_weights():
            model: AnomalibModule = instantiate_model(self._experiment.model)
        check_known_defects(model, self._part)
        take_imaging(model, self._part)
        check_n_train(model, len(self._part.train_data))
        validation = validates(model, self._part)
        return self.scores(model, splits=("train", "test", "val") if validation else ("train", "test"))

    def scores(self, model: AnomalibModule, *, splits: tuple[str, ...] = ("test",)) -> pd.DataFrame:
        """By a model; it is fitted where the training images are among the splits."""
        from benchmark.one_run.cached_scoring import score_test_images
        from benchmark.one_run.evaluation import test_rows
        from extensions.data.checks.fingerprints import image_names

        collector, _ = score_test_images(
            model,
            self._part,
            test_rows(self._part.test_data.samples, image_names(self._part)),
            self._folder,
            splits=splits,
            trainer=self._experiment.trainer,
            layers=self._layers,
            augmentations=self._experiment.augmentations,
            seed=self._experiment.seed,
        )
        scored = collector.scored()
        return scored[["image", "label", "kind", "score", *([GROUP] if GROUP in scored else [])]]
