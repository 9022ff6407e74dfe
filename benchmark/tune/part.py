"""What one trial fits to and is judged on: a part of a data set that holds no tested image."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmark.tune.validation import Validation
from extensions.configuration import ConfigError, instantiate_data
from extensions.data.errors import DatasetError
from extensions.data.splits import held_out, spread
from extensions.models.common.known_defects import is_known_defect

if TYPE_CHECKING:
    from extensions.data.datamodules.datamodule import WorkbenchDataModule

FEWEST_GOOD = 2


@dataclass(frozen=True)
class Part:
    """Images of one data set that trials look at.

    Attributes:
        data: `class_path` and `init_args` of the data set as it is tested after the search, without the images that
            were looked at.
        datamodule: Set up; its test images are those of the data set.
        train: Samples that a trial fits to, all good.
        good: Samples that it is judged on, good.
        bad: Samples that it is judged on, defective.
    """

    data: dict[str, Any]
    datamodule: WorkbenchDataModule
    train: pd.DataFrame
    good: pd.DataFrame
    bad: pd.DataFrame

    @property
    def name(self) -> str:
        """Of data set and category."""
        return "/".join(filter(None, (self.datamodule.name, self.datamodule.category)))

    @property
    def told(self) -> str:
        """For a person: how many images there are of each."""
        return (
            f"{self.name}: trials fit to {len(self.train)} good images and are judged on {len(self.good)} good and "
            f"{len(self.bad)} defective ones; {len(self.datamodule.test_data)} images are tested afterwards"
        )

    @property
    def has_masks(self) -> bool:
        """Whether every defect is marked."""
        return bool((self.bad["mask_path"] != "").all())

    def served(self) -> WorkbenchDataModule:
        """The datamodule with these images in place of its training and test images."""
        from anomalib import TaskType

        from extensions.data.datamodules.dataset import WorkbenchDataset

        part = copy.copy(self.datamodule)
        task = TaskType.SEGMENTATION if self.has_masks else TaskType.CLASSIFICATION
        looked_at = pd.concat([self.good, self.bad], ignore_index=True).assign(split="test")
        if not self.has_masks:
            looked_at = looked_at.assign(mask_path="")
        for name, samples in (("train", self.train), ("test", looked_at), ("val", looked_at.iloc[:0])):
            rows = samples.reset_index(drop=True)
            rows.attrs.update(self.datamodule.train_data.samples.attrs)
            data = WorkbenchDataset(rows, name=part.name, task=task, imaging=part.imaging)
            setattr(part, f"{name}_data", data)
        return part

    def reduced(self, share: float, *, seed: int) -> Part:
        """A first look: this share of the images to fit to and of the good ones, all bad ones."""
        units = self.datamodule._units
        return replace(self, train=_few(self.train, units(self.train), round(share * len(self.train)), seed=seed),
                       good=_few(self.good, units(self.good), round(share * len(self.good)), seed=seed))  # fmt: skip


def part_of(spec: dict[str, Any], validation: Validation, *, data_root: Path | None = None, seed: int = 0) -> Part:
    """Set a data set up and choose what trials look at.

    Args:
        spec: `class_path` and `init_args` of the data set.
        validation: What is asked for.
        data_root: Where relative data roots start.
        seed: Of the run, for what is left to it.

    Raises:
        ConfigError: The data set cannot be searched on, or has no images of the kind asked for.
        DatasetError: It has fewer defects than are asked for, or other problems.
    """
    from extensions.data.datamodules.datamodule import WorkbenchDataModule
    from extensions.data.datamodules.stock import set_up

    wanted = _with_arguments(spec, validation)
    datamodule = instantiate_data(wanted, data_root)
    if not isinstance(datamodule, WorkbenchDataModule):
        msg = (
            f"data: {spec['class_path']} cannot be tuned on, for it says not which images may be looked at; expected a "
            "datamodule of this project, such as extensions.Folder or extensions.MVTecAD"
        )
        raise ConfigError(msg)
    _check_searchable(datamodule, validation)
    try:
        set_up(datamodule, seed=seed)
    except DatasetError as error:
        raise type(error)(_as_asked(str(error), validation), error.problems) from error
    samples = datamodule.train_data.samples
    is_known = is_known_defect(samples)
    train, good = _hold_out(datamodule, samples[~is_known], validation)
    bad = _bad(datamodule, samples[is_known], good, validation)
    for what, found, least in (("training", train, 1), ("good", good, FEWEST_GOOD), ("defective", bad, 1)):
        if len(found) < least:
            msg = (
                f"data set {datamodule.name!r}: found {len(found)} {what} images to look at, expected {least} or more; "
                "change 'validation' in the config"
            )
            raise ConfigError(msg)
    n_train = len(train) if validation.n_train is None else validation.n_train
    n_good = len(good) if validation.n_good is None else validation.n_good
    train = _few(train, datamodule._units(train), n_train, seed=validation.seed)
    good = _few(good, datamodule._units(good), n_good, seed=validation.seed)
    return Part(_without_looked_at(wanted, validation), datamodule, train, good, bad)


def _with_arguments(spec: dict[str, Any], validation: Validation) -> dict[str, Any]:
    """The data set with the arguments that set aside what is looked at."""
    added: dict[str, Any] = {}
    own = (spec.get("init_args") or {}).get("calibration_dir")
    if validation.kind == "folder" and own is not None and str(own) != validation.folder:
        msg = (
            f"validation.folder: found {validation.folder!r}, but a data set has calibration_dir {str(own)!r}, and "
            "settings and thresholds are found on one folder; give the same one, or leave calibration_dir out"
        )
        raise ConfigError(msg)
    if validation.kind == "labelled":
        added = {"tuned_on": validation.n, "tuned_on_seed": validation.seed}
    if validation.kind == "folder":
        added = {"calibration_dir": validation.folder}
    return {**spec, "init_args": {**(spec.get("init_args") or {}), **added}}


def _as_asked(message: str, validation: Validation) -> str:
    """What is wrong with an argument that `_with_arguments` set, by the name under which it was asked for."""
    if validation.kind == "labelled":
        return re.sub(r"^tuned_on is ", "validation.labelled is ", message)
    if validation.kind == "folder":
        message = re.sub(r"(\bin |out of |correct |\()calibration_dir\b(?!/)", r"\1validation.folder", message)
        message = message.replace("validation.folder in the config, or leave it out", "validation.folder in the config")
        return message.replace(
            "validation.folder: thresholds are fitted on", "validation.folder: settings are chosen by"
        )
    return message


def _without_looked_at(spec: dict[str, Any], validation: Validation) -> dict[str, Any]:
    """The data set as it is tested: known defects stay out of the test set, also where nothing learns from them."""
    arguments = dict(spec.get("init_args") or {})
    if validation.kind == "known":
        n = arguments.pop("known_defects", 0)
        arguments.pop("known_defects_dir", None)
        if n or arguments.get("set_aside"):
            arguments["set_aside"] = max(n, arguments.get("set_aside") or 0)
    return {**spec, "init_args": arguments}


def _check_searchable(datamodule: WorkbenchDataModule, validation: Validation) -> None:
    """Refuse what trials would not look at as a run does."""
    problem = ""
    if datamodule.tiling is not None:
        problem = "its images are cut into tiles, whose size is what would be tried; set image_size and tiling by hand"
    elif datamodule.product_names:
        problem = "several products are trained on together; list them one by one (training: one_each)"
    elif validation.kind == "drawn" and not datamodule.reads_plainly:
        problem = "defects are drawn on images of 8 bits alone; give labelled ones, such as validation: {labelled: 20}"
    elif validation.kind == "known" and not (datamodule.known_defects or datamodule.known_defects_dir):
        problem = "it has no known defects; set its known_defects or known_defects_dir, or choose another validation"
    if problem:
        msg = f"data set {datamodule.name!r} cannot be tuned on: {problem}"
        raise ConfigError(msg)


def _hold_out(
    datamodule: WorkbenchDataModule, train: pd.DataFrame, validation: Validation
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Good images to fit to and to be judged on, no part in both; a folder may bring the latter."""
    if validation.kind == "folder" and datamodule.calibration_data is not None:
        given = datamodule.calibration_data.samples
        given = given[given["label_index"] == 0]
        if len(given):
            return train, given
    chosen = held_out(datamodule._units(train), validation.held_out, seed=validation.seed)
    return train[~chosen], train[chosen]


def _bad(
    datamodule: WorkbenchDataModule, known: pd.DataFrame, good: pd.DataFrame, validation: Validation
) -> pd.DataFrame:
    """Defective images to be judged on."""
    if validation.kind == "labelled":
        assert datamodule.tuning_data is not None
        return datamodule.tuning_data.samples
    if validation.kind == "known":
        return known
    if validation.kind == "folder":
        assert datamodule.calibration_data is not None
        given = datamodule.calibration_data.samples
        return given[given["label_index"] == 1]
    from extensions.data.synthetic.drawn_images import draw_on_each

    region = datamodule.imaging.region
    inside = None if region is None else region.mask
    return draw_on_each(good, validation.n, seed=validation.seed, inside=inside) if len(good) else good


def _few(samples: pd.DataFrame, units: list[str], n: int, *, seed: int) -> pd.DataFrame:
    """So many of the samples, of as many parts as possible."""
    return samples.iloc[spread(units, n, seed=seed)]
