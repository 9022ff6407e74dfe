"""anomalib's own datamodules in a run: set up once, with a seed, so that what was checked is what is tested."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from extensions.data.checks.data_check import check_dataset
from extensions.data.errors import DatasetError, DatasetMissingError
from extensions.runtime.escaped import escaped

if TYPE_CHECKING:
    from anomalib.data.datamodules.base.image import AnomalibDataModule

logger = logging.getLogger(__name__)


def set_up(datamodule: AnomalibDataModule, *, seed: int | None) -> None:
    """Set a datamodule up for a run with this seed; whoever sets it up again finds the same splits.

    One of ours takes the run's seed for what is left to it. anomalib's splits anew each time until its own Trainer has
    called, and without a seed differently each time: it gets the run's seed where it has none.

    Args:
        datamodule: Ours or anomalib's; its files are checked.
        seed: Of the run. None, outside of one, leaves ours its own, and is 0 for anomalib's, as for a run without one.

    Raises:
        DatasetError: anomalib would draw synthetic defects, which no seed of its own repeats; or all problems of the
            files together, see `check_dataset`.
        DatasetMissingError: A folder is not there.
    """
    if hasattr(datamodule, "take_run_seed"):  # one of ours
        if seed is not None:
            datamodule.take_run_seed(seed)
        datamodule.setup()
        return
    if modes := synthetic_splits(datamodule):
        msg = (
            f"data set {datamodule.name!r}: {' and '.join(modes)} of {type(datamodule).__name__} draws other defects "
            "into another folder each time it is set up, so no record could say what was tested; give another mode, "
            "or use extensions.Folder, whose synthetic splits are seeded"
        )
        raise DatasetError(msg)
    take_seed(datamodule, seed or 0)
    try:
        datamodule.setup()
    except FileNotFoundError as error:
        reason = escaped(str(error))
        root = getattr(datamodule, "root", None)
        is_relative = root is None or not Path(root).expanduser().is_absolute()
        hint = (
            ": relative ones of anomalib's own datamodules start at the working directory, not at --data-root, so give "
            "an absolute root, or use extensions.Folder"
        )
        msg = (
            f"data set {datamodule.name!r} is not on this disk ({reason}); correct its folders in the config"
            f"{hint if is_relative else ''}"
        )
        raise DatasetMissingError(msg) from error
    datamodule._is_setup = True  # anomalib notes it only for its Trainer, and would split again
    check_dataset(datamodule)  # as ours check themselves


def set_up_as(given: AnomalibDataModule, built: AnomalibDataModule) -> bool:
    """Set `built` up with the seeds of `given`, which was set up; whether it could be done."""
    if hasattr(given, "take_run_seed"):  # one of ours
        if given._run_seed is not None:
            built.take_run_seed(given._run_seed)
    elif synthetic_splits(given):
        return False  # a run refuses it
    try:
        built.setup()
    except Exception:  # the run will meet it, and its record tell it
        logger.debug("%s could not be set up", type(built).__name__, exc_info=True)
        return False
    return True


def take_seed(datamodule: AnomalibDataModule, seed: int) -> bool:
    """Split one of anomalib's datamodules by this seed where its own is None; whether it was."""
    if getattr(datamodule, "seed", seed) is not None:
        return False
    datamodule.seed = seed
    return True


def synthetic_splits(datamodule: AnomalibDataModule) -> list[str]:
    """The splits for which anomalib draws defects from the global state, such as `test_split_mode=synthetic`."""
    modes = {name: getattr(datamodule, name, None) for name in ("test_split_mode", "val_split_mode")}
    found = {name: str(getattr(mode, "value", mode)) for name, mode in modes.items()}
    return [f"{name}={value}" for name, value in found.items() if value == "synthetic"]
