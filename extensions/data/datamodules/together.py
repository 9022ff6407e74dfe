"""Several products as one data set: each listed, checked and split by itself, then joined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
from anomalib import TaskType
from anomalib.data.utils import ValSplitMode

from extensions.data.checks.copies import contents_of
from extensions.data.checks.data_check import all_samples, repeated, tell_near_copies
from extensions.data.checks.inspection import inspect_files
from extensions.data.datamodules.alignment import check_unaligned
from extensions.data.datamodules.region import common_region
from extensions.data.datamodules.tiles import check_tiles
from extensions.data.errors import DatasetError, dataset_error, warn_once
from extensions.data.groups import GROUP
from extensions.data.joint_training import PRODUCT
from extensions.runtime.built_folders import is_built

if TYPE_CHECKING:
    from pathlib import Path

    from extensions.data.datamodules.datamodule import WorkbenchDataModule

_OF_TEST = (ValSplitMode.SAME_AS_TEST, ValSplitMode.FROM_TEST)
_FLAGS = ("injected", "known")


def set_up_together(
    whole: WorkbenchDataModule, parts: Mapping[str, WorkbenchDataModule], *, tested: str | None = None
) -> None:
    """Set up each part, and join their splits in `whole`.

    What a part draws, holds out or puts among its training images is what it would be alone, so the test images of a
    product are the same whether it is trained alone or with others.

    Args:
        whole: Gets `train_data`, `val_data`, `test_data` and `calibration_data`, whose samples have a column `product`.
        parts: By the name of the product.
        tested: The one product whose images are tested on, with its validation images where those are test images
            and its calibration images; None tests on all.

    Raises:
        DatasetError: What is wrong with the parts, of all of them together; the same image in training of one and in
            the test of another.
    """
    errors: list[DatasetError] = []
    for part in parts.values():
        if whole._run_seed is not None:
            part.take_run_seed(whole._run_seed)
        try:
            part.setup()
        except DatasetError as error:
            errors.append(error)
    if errors:
        problems = [problem for error in errors for problem in error.problems]
        raise type(errors[0])("\n".join(dict.fromkeys(map(str, errors))), problems)
    _check_across(parts, name=whole.name, root=whole.root)
    shown = {tested: parts[tested]} if tested is not None else parts
    train, test = _joined(parts, "train"), _joined(shown, "test")
    val = _joined(shown if whole.val_split_mode in _OF_TEST else parts, "val")
    _drop_partial_masks(whole.name, test, val)
    calibration = _joined(
        {name: part for name, part in shown.items() if part.calibration_data is not None}, "calibration"
    )
    # Masks of known defects do not give the test images masks.
    has_masks = any((frame["mask_path"] != "").any() for frame in (train[~train["known"]], val, test))
    whole._task = TaskType.SEGMENTATION if has_masks else TaskType.CLASSIFICATION
    whole._take_imaging(parts)
    check_unaligned(parts, name=whole.name)
    whole._found_region = common_region({name: part.imaging.region for name, part in parts.items()}, name=whole.name)
    whole.train_data = whole._training_dataset(train)
    whole.val_data, whole.test_data = whole._dataset(val), whole._dataset(test)
    whole.calibration_data = whole._dataset(calibration) if len(calibration) else None
    whole._adopt(parts)
    check_tiles(whole.tiling, all_samples(whole)["image_path"], name_of=whole.relative, imaging=whole._imaging)


def _joined(parts: Mapping[str, WorkbenchDataModule], split: str) -> pd.DataFrame:
    """The samples of one split of all parts, in their order."""
    found = [getattr(part, f"{split}_data").samples.assign(**{PRODUCT: name}) for name, part in parts.items()]
    if any(GROUP in frame for frame in found):  # parts of two products are two; without names each image is one
        found = [
            frame.assign(
                **{GROUP: [f"{name}/{one}" for one in frame.get(GROUP, frame["image_path"].map(part.relative))]}
            )
            for frame, (name, part) in zip(found, parts.items(), strict=True)
        ]
    if not found:
        return pd.DataFrame({"image_path": []})
    frame = pd.concat(found, ignore_index=True).drop_duplicates("image_path", ignore_index=True)
    for flag in set(_FLAGS) & set(frame.columns):
        frame[flag] = frame[flag].fillna(value=False).astype(bool)
    return frame


def _check_across(parts: Mapping[str, WorkbenchDataModule], *, name: str, root: Path) -> None:
    """Images of equal pixels in two products; within one it has been checked."""
    samples = pd.concat(
        [all_samples(part).assign(**{PRODUCT: name}) for name, part in parts.items()], ignore_index=True
    )
    samples = samples[~samples["image_path"].map(is_built).astype(bool)]
    facts = inspect_files(samples["image_path"], title=f"reading {name}")
    contents = pd.Series(contents_of(samples["image_path"], facts), index=samples.index)
    shared = samples[samples.groupby(contents)[PRODUCT].transform("nunique") > 1]
    errors = [one for one in repeated(shared, facts, root=root) if not one.kind.is_warning]
    if errors:
        raise dataset_error(name, root, errors)
    tell_near_copies(samples, name=name, root=root)


def _drop_partial_masks(name: str, *frames: pd.DataFrame) -> None:
    """Where the defects of one tested product have masks and those of another have none, no pixel is scored."""
    for frame in frames:
        defects = frame[frame["label_index"] == 1]
        lacking = sorted(set(defects.loc[defects["mask_path"] == "", PRODUCT]))
        if lacking and len(lacking) < defects[PRODUCT].nunique():
            warn_once(
                f"data set {name!r}: the defects of {', '.join(lacking)} have no masks, so tested together with others "
                "no pixel is scored; name a test_category or test_product to test each product by itself"
            )
            frame["mask_path"] = ""
