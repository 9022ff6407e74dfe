"""The record of a run: what was run, on what, how it went and what was measured; `record.json` as a type."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from benchmark.records.canonical_experiment import CanonicalExperiment
from benchmark.records.record_sections import (
    Dataset,
    Failure,
    Files,
    Memory,
    RecordedBy,
    Refinement,
    Reused,
    Speed,
    Thresholds,
    Training,
    Weights,
)
from benchmark.records.section import Section

PROTOCOL_VERSION = 1
"""Raised when the meaning of a recorded number changes: records of another version are run again."""


class Record(Section):
    """A run that finished, failed, or found no data.

    Attributes:
        key: 16 hex digits over experiment, weights and data.
        experiment_id: The same over the experiment alone.
        settings: What a reader sees of the experiment beside model, backbone and data set.
        sweep: In which it was run.
        started: ISO date and time.
        metrics: By name, None where one cannot be computed; empty unless the run finished.
        environment: Machine and versions, by name.
        members: Keys of the runs that an ensemble was judged from without a fit of its own; empty for all others.
        seconds: The whole run.
        folder: Where it lies, relative to the output folder; not in the file.
    """

    protocol_version: int | None = None
    key: str
    experiment_id: str = ""
    experiment: CanonicalExperiment = CanonicalExperiment()
    model: str
    backbone: str = ""
    layers: list[str] = []
    settings: str = ""
    weights: Weights | None = None
    dataset: Dataset
    sweep: str = ""
    started: str = ""
    status: Literal["finished", "failed", "missing"]
    error: Failure | None = None
    metrics: dict[str, float | None] = {}
    thresholds: Thresholds = Thresholds()
    training: Training = Training()
    speed: Speed = Speed()
    reused: Reused = Reused()
    memory: Memory = Memory()
    files: Files = Files()
    refinement: Refinement | None = None
    recorded_by: RecordedBy | None = None
    members: list[str] = []
    environment: dict[str, Any] = {}
    seconds: float | None = None
    folder: Path = Field(default=Path(), exclude=True)

    @property
    def is_finished(self) -> bool:
        """Whether it has a result."""
        return self.status == "finished"

    @property
    def is_current(self) -> bool:
        """Whether its numbers mean what numbers mean now."""
        return self.protocol_version == PROTOCOL_VERSION

    @property
    def is_open_ended(self) -> bool:
        """Whether the training ended before the loss was flat, so that the run gets no rank."""
        return self.training.converged is False

    @property
    def detector(self) -> str:
        """Model and backbone, as a line of text tells them."""
        return " ".join(filter(None, (self.model, self.backbone)))

    @property
    def weights_sha256(self) -> str | None:
        """Content of the weights it began with."""
        return self.weights.sha256 if self.weights is not None else None

    @property
    def seed(self) -> int:
        """Of the experiment."""
        return self.experiment.seed

    def measured(self, name: str) -> float | None:
        """A metric, or a number of the speed, the memory or the training, by its name."""
        for section in (self.speed, self.memory, self.training):
            if name in type(section).model_fields:
                value: float | None = getattr(section, name)
                return value
        return self.metrics.get(name)
