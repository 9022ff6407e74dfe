"""A finished run of the benchmark written for the line; `benchmark.api.found_run` finds them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from extensions.runtime.atomic_write import check_replaceable
from inference.export.product_thresholds import ProductThreshold, write_product_thresholds
from inference.export.write_model import FILES, NETWORK, ExportOptions, export_model
from inference.measure.agreement import Agreement
from inference.measure.labelled_images import LabelledImages
from inference.model.metadata import ModelInfo

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedRun:
    """A run's model and what belongs to it.

    Attributes:
        model: On the CPU.
        info: Its facts.
        images: Its training images without those that a refinement removed; none where they are not on this machine.
        fitted_on: The images its threshold was fitted on; None where they are not on this machine.
        products: Thresholds of all products that it was trained on together; none for one.
    """

    model: AnomalibModule
    info: ModelInfo
    images: list[Path]
    fitted_on: LabelledImages | None = None
    products: tuple[ProductThreshold, ...] = ()

    def stand_in(self, files: Sequence[Path]) -> LabelledImages | None:
        """The images of `--calibration`, where the threshold is a quantile of normal ones that are not at hand."""
        if self.fitted_on is not None or "quantile" not in (self.info.threshold_source or ""):
            return None
        return LabelledImages.from_files(files, np.zeros(len(files), bool), "the images of --calibration")


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


@dataclass(frozen=True)
class ExportedRun:
    """An exported run.

    Attributes:
        model: The network, `model.xml`.
        agreement: How well it agrees with the trained model.
    """

    model: Path
    agreement: Agreement

    def __repr__(self) -> str:
        return f"{self.model}: {self.agreement.sentence()}"


def export_run(run: FinishedRun, output: Path, *, precision: str = "fp32") -> ExportedRun:
    """Write the model of a run for the line, see `benchmark.Run.export`."""
    check_replaceable(output, FILES)
    run.check(needs_images=True)
    trained = run.load()
    agreement = export_model(
        trained.model,
        trained.info,
        output,
        files=trained.images,
        options=ExportOptions(precision=precision),
        fitted_on=trained.fitted_on,
    )
    if trained.products:
        logger.warning(write_product_thresholds(trained.products, output, key=run.key))
    return ExportedRun(output / NETWORK, agreement)
