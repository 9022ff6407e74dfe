"""What `export` is to export, and the images that belong to it; what cannot be is told before a model is loaded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from inference.export.run_model import FoundRun, TrainedRun, find_beside, find_run
from inference.measure.threshold_refit import FittedOn

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chosen:
    """A model to be exported.

    Attributes:
        load: Loads it, with its images: those of `--calibration` where they are given, else its training images.
        told: Why it is this one, where `best` was asked for.
    """

    load: Callable[[], TrainedRun]
    told: str = ""


def chosen_run(key: str, records: Path, *, data_root: Path | None, files: Sequence[Path]) -> Chosen:
    """A run of a benchmark.

    Args:
        key: Its key, the beginning of it, `best` or `best:` and a data set.
        records: Output folder of the benchmark.
        data_root: Where relative data roots start; None looks where `find_run` says.
        files: Of `--calibration`; with them the training images are not needed.

    Raises:
        ValueError: There is not exactly one such run.
        RuntimeError: Its model or its images cannot be had.
    """
    run = find_run(key, records, data_root)
    run.check(needs_images=not files)
    return Chosen(lambda: _with(run.load(), files), run.told)


def chosen_checkpoint(
    checkpoint: Path, *, model_class: str | None, data_root: Path | None, files: Sequence[Path], precision: str
) -> Chosen:
    """A checkpoint; where a record lies beside it, its images are found as those of a run.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Nothing to compare it on is given or known.
        RuntimeError: The images that its record names are not there, and none are given.
    """
    if not checkpoint.is_file():
        msg = f"{checkpoint}: there is no such file; expected a checkpoint (.ckpt) of a trained model"
        raise FileNotFoundError(msg)
    run: FoundRun | None = None
    if not files or precision == "int8":
        run = find_beside(checkpoint, data_root)
        if run is None and not files:
            msg = (
                "--calibration: give a folder of normal training images, on which the export is compared and calibrated"
            )
            raise ValueError(msg)
        if run is not None and not files:
            run.check(needs_images=True)

    def load() -> TrainedRun:
        from inference.model.checkpoints import load_checkpoint

        model, info = load_checkpoint(checkpoint, model_class=model_class)
        found = TrainedRun(model, info, [], None) if run is None else run.trained(checkpoint.parent, model, info)
        return _with(found, files)

    return Chosen(load)


def stand_in(run: TrainedRun, files: Sequence[Path]) -> FittedOn | None:
    """The images of `--calibration`, where the threshold is a quantile of normal ones that are not at hand."""
    import numpy as np

    if run.fitted_on is not None or "quantile" not in (run.info.threshold_source or ""):
        return None
    return FittedOn.from_files(files, np.zeros(len(files), bool), "the images of --calibration")


def _with(run: TrainedRun, files: Sequence[Path]) -> TrainedRun:
    return replace(run, images=list(files)) if files else run
