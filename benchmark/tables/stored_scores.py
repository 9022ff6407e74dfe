"""What the runs of an output folder left beside their records: a score for each test image."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.metrics.image import image_metrics
from benchmark.records.kept_thresholds import kept_thresholds, usable_calibration
from benchmark.records.packed import read_calibration, read_resamples, read_scores
from benchmark.records.record import Record
from benchmark.records.record_file import RecordError
from benchmark.records.record_sections import Thresholds
from benchmark.statistics.requirement import Requirement
from extensions.data.groups import GROUP

if TYPE_CHECKING:
    import pandas as pd

MOST_TOLD = 5


@dataclass(frozen=True, kw_only=True)
class TestScores:
    """Of the test images of a run, in the order of their names.

    Attributes:
        ids: ``(N,)`` names of the images.
        labels: ``(N,)``, 0 good, 1 defective.
        kinds: ``(N,)``, such as `crack`.
        scores: ``(N,)`` raw, higher is more anomalous.
        folds: ``(N,)``, 0 or 1.
        groups: ``(N,)``, the part that each image is of; None where the data set names no parts.
    """

    __test__ = False  # no test, whatever its name says

    ids: tuple[str, ...]
    labels: np.ndarray
    kinds: tuple[str, ...]
    scores: np.ndarray
    folds: np.ndarray
    groups: tuple[str, ...] | None = None


@dataclass(frozen=True)
class StoredScores:
    """Reads them once a run; what cannot be read is None, and a sentence in `faults` says why.

    Args:
        output: Folder that `Record.folder` is relative to.
    """

    output: Path
    faults: list[str] = field(default_factory=list)
    _read: dict[str, TestScores | None] = field(default_factory=dict, repr=False)

    def of(self, record: Record) -> TestScores | None:
        """The scores of a run; None where it left none or they cannot be read."""
        if record.key not in self._read:
            self._read[record.key] = self._load(record) if record.is_finished and record.files.scores else None
        return self._read[record.key]

    def calibration(
        self, record: Record, requirement: Requirement
    ) -> tuple[np.ndarray, np.ndarray, tuple[str, ...] | None] | None:
        """Labels, scores and parts of what thresholds alone are fitted on; None where those are the test images."""
        try:
            found = usable_calibration(read_calibration(self.output, record), requirement)
        except (RecordError, ValueError) as error:
            self.tell(" ".join(str(error).split()).rstrip("."))
            return None
        if found is None:
            return None
        found = found.sort_values("image", kind="stable")
        return found["label"].to_numpy(np.int64), found["score"].to_numpy(np.float64), _groups(found)

    def thresholds(self, record: Record, requirement: Requirement) -> Thresholds | None:
        """What the run's export fits for a requirement that its record does not keep; None where it left no scores."""
        if self.of(record) is None:
            return None
        try:
            calibration = read_calibration(self.output, record)
            scores, how = read_scores(self.output, record), record.dataset.part_score
            return kept_thresholds(scores, requirement, calibration=calibration, part_score=how)
        except (RecordError, ValueError) as error:
            self.tell(" ".join(str(error).split()).rstrip("."))
            return None

    def resamples(self, record: Record) -> dict[str, np.ndarray]:
        """By the name of a pixel metric ``(B,)``, its values in the resamples; empty where the run left none."""
        try:
            found = read_resamples(self.output, record)
        except (RecordError, ValueError) as error:
            self.tell(" ".join(str(error).split()).rstrip("."))
            return {}
        return {str(name): found[name].to_numpy() for name in found.columns}

    def completed(self, record: Record) -> Record:
        """The record with the image metrics that its protocol did not have, computed from its scores."""
        found = self.of(record)
        if found is None:
            return record
        computed = image_metrics(found.labels, found.scores, found.folds)
        lacking = {name: value for name, value in computed.items() if name not in record.metrics}
        return record.model_copy(update={"metrics": record.metrics | lacking}) if lacking else record

    def tell(self, fault: str) -> None:
        """Note what cannot be used, once."""
        if fault not in self.faults:
            self.faults.append(fault)

    @property
    def sentences(self) -> list[str]:
        """What cannot be used, for the reader of the tables; of many the first."""
        more = len(self.faults) - MOST_TOLD
        told = [f"{fault}." for fault in self.faults[:MOST_TOLD]]
        return [*told, f"The scores of {more} more runs cannot be used."] if more > 0 else told

    def _load(self, record: Record) -> TestScores | None:
        try:
            frame = read_scores(self.output, record).sort_values("image", kind="stable")
            return TestScores(
                ids=tuple(map(str, frame["image"])),
                labels=frame["label"].to_numpy(np.int64),
                kinds=tuple(map(str, frame["kind"])),
                scores=frame["score"].to_numpy(np.float64),
                folds=frame["fold"].to_numpy(np.int64),
                groups=_groups(frame),
            )
        except (RecordError, ValueError) as error:
            self.tell(" ".join(str(error).split()).rstrip("."))
            return None


def _groups(frame: pd.DataFrame) -> tuple[str, ...] | None:
    return tuple(map(str, frame[GROUP])) if GROUP in frame else None
