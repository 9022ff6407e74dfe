"""A finished run of the benchmark as an export needs it; `benchmark.api.found_run` finds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from inference.measure.threshold_refit import FittedOn
from inference.model.metadata import ModelInfo

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule


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
    fitted_on: FittedOn | None = None

    def stand_in(self, files: Sequence[Path]) -> FittedOn | None:
        """The images of `--calibration`, where the threshold is a quantile of normal ones that are not at hand."""
        if self.fitted_on is not None or "quantile" not in (self.info.threshold_source or ""):
            return None
        return FittedOn.from_files(files, np.zeros(len(files), bool), "the images of --calibration")


class FinishedRun(Protocol):
    """A run whose model can be had: it was kept, or is fitted again."""

    @property
    def key(self) -> str:
        """Of its record."""

    @property
    def told(self) -> str:
        """Why it is this run, where `best` was asked for."""

    def check(self, *, needs_images: bool) -> None:
        """Raise RuntimeError where the model, or the training images that are needed, cannot be had."""

    def load(self) -> TrainedRun:
        """The model; RuntimeError where fitting it again fails."""
