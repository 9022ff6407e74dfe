"""A run of the benchmark written for the line in one call, as `Run.export` does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from extensions.runtime.atomic_write import check_replaceable
from inference.export.trained_run import FinishedRun
from inference.export.write_model import FILES, NETWORK, ExportOptions, export_model
from inference.measure.agreement import Agreement

__all__ = ["ExportedRun", "export_run"]


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
    """Write the model of a run for the line; of a run whose model was not kept, after fitting it again.

    It is compared with the trained model, and for int8 calibrated, on the run's own training images; the threshold of
    int8 is fitted anew on its test images.

    Args:
        run: As `benchmark.api.found_run` finds it.
        output: Folder for `model.xml` and what belongs to it.
        precision: `fp32`, `fp16` or `int8`.

    Raises:
        ValueError: The output folder holds other files, or the model cannot be exported.
        RuntimeError: The run leaves no model, its data are not there any more, or the network differs from the model.
    """
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
    return ExportedRun(output / NETWORK, agreement)
