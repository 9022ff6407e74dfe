"""One finished run: its record, its scores, its images, its export."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.metrics.metric_table import HEADLINE
from benchmark.plan.experiment import Experiment
from benchmark.records.record import Record
from benchmark.records.run_files import CHECKPOINT

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from benchmark.one_run.preparation import Prepared
    from inference.export.trained_run import ExportedRun

SHOWN = (*HEADLINE, "pixel_AUPRO")


class RunError(RuntimeError):
    """A run failed or is at work elsewhere; its record, if any, holds the traceback."""


@dataclass(frozen=True, repr=False)
class Run:
    """A finished run as it lies on disk.

    Attributes:
        record: All of `record.json`.
        output: Folder of records and tables that it is in.

    Example:
        >>> found = benchmark.run("Padim", "Elpv")
        >>> found.metrics["image_AUROC"]
        >>> found.show()
    """

    record: Record
    output: Path
    _experiment: Experiment = field(repr=False)

    @property
    def key(self) -> str:
        """Its name: 16 hex digits, as in `run_keys` of the leaderboard."""
        return self.record.key

    @property
    def folder(self) -> Path:
        """Where the record, the scores and the checkpoint lie."""
        return self.output / self.record.folder

    @property
    def metrics(self) -> pd.Series:
        """Every metric by name, NaN where it cannot be computed."""
        import pandas as pd

        return pd.Series(self.record.metrics, dtype=float, name=self.key)

    @property
    def scores(self) -> pd.DataFrame:
        """A row per test image: image (relative to the data root), label, kind, score (raw), fold.

        Raises:
            RunError: The run only ranked training images and tested nothing.
        """
        from benchmark.records.packed import read_scores

        if self.record.files.scores is None:
            msg = f"run {self.key} only removed training images and trained no model, so there are no scores"
            raise RunError(msg)
        return read_scores(self.output, self.record)

    @property
    def threshold(self) -> float | None:
        """Raw score from which an image is called anomalous; None where the test images are all anomalous."""
        return self.record.thresholds.image

    def show(self, n: int = 3) -> Figure:
        """Draw image, heat map and mask of what was decided best, of the closest calls, the misses and false alarms.

        Missed are anomalous images with a score below the threshold. Of each kind those come first whose score lies
        farthest from the threshold; of the closest calls, which are right, those nearest to it.

        Args:
            n: Images of each at most.

        Raises:
            RunError: No model was kept, or the data are not there any more.
        """
        from benchmark.api.figures import draw
        from benchmark.one_run.kept_networks import load_model

        datamodule, path = self.prepared.datamodule, self.folder / CHECKPOINT
        assert datamodule is not None
        if not path.is_file():
            why = "tested augmented images" if self.record.experiment.augmentation else "was not kept"
            msg = f"run {self.key} {why}, so there is no model to draw heat maps with; its panels are in {self.folder}"
            raise RunError(msg)
        return draw(self.record, self.scores, model=load_model(self.record, path), data=datamodule, n=n)

    def export(self, output: Path | str, *, precision: str = "fp32") -> ExportedRun:
        """Write the model for the line, as `python -m inference export --run KEY` does.

        It is compared with the trained model, and for int8 calibrated, on the run's own training images; the threshold
        of int8 is fitted anew on its test images. A model that was not kept is fitted again.

        Args:
            output: Folder for `model.xml` and what belongs to it.
            precision: `fp32`, `fp16` or `int8`.

        Returns:
            The network's path, and how well it agrees with the trained model.

        Raises:
            ValueError: The output folder holds other files, or the model cannot be exported.
            RuntimeError: The run leaves no model, its data are not there any more, or the network differs from the
                model.
        """
        from benchmark.api.found_run import find_experiment
        from inference.export.trained_run import export_run

        found = find_experiment(self._experiment, self.record, self.output)
        return export_run(found, Path(output), precision=precision)

    @cached_property
    def prepared(self) -> Prepared:
        """The run's data, found and set up again.

        Raises:
            RunError: They, or the backbone's weights, are not there any more, or they have changed.
        """
        from benchmark.one_run.preparation import prepare

        found = prepare(self._experiment)
        if found.error is not None:
            msg = f"run {self.key}: its data or weights cannot be used any more: {found.error}"
            raise RunError(msg) from found.error
        if found.key != self.key:
            msg = f"run {self.key}: its data or weights have changed since; run it again"
            raise RunError(msg)
        return found

    @property
    def _facts(self) -> dict[str, str]:
        record = self.record
        status: str = record.status
        if record.is_open_ended:
            status = f"finished, not converged after {record.training.epochs} epochs: gets no rank"
        return {
            "model": " on ".join(filter(None, [record.model, record.backbone])),
            "settings": record.settings,
            "data set": record.dataset.label + (" (drawn defects)" if record.dataset.synthetic else ""),
            "seed": str(record.seed),
            "status": status,
            "key": self.key,
        }

    def __repr__(self) -> str:
        shown = [f"{name}={value:.4f}" for name, value in self.record.metrics.items() if name in SHOWN and value]
        facts = self._facts
        told = [facts["model"], facts["data set"], f"seed {facts['seed']}", *shown, self.key]
        return f"{type(self).__name__}({', '.join(told)})"

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        found = self.record.metrics
        heads = "".join(f"<th>{html.escape(name)}</th>" for name in SHOWN)
        cells = "".join(f"<td>{'' if found.get(name) is None else f'{found[name]:.4f}'}</td>" for name in SHOWN)
        facts = "".join(
            f"<tr><th style='text-align:left'>{name}</th><td style='text-align:left'>{html.escape(text)}</td></tr>"
            for name, text in self._facts.items()
            if text
        )
        return f"<table><tr>{heads}</tr><tr>{cells}</tr></table><table>{facts}</table>"
