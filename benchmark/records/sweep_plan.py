"""What a sweep asked for, so that the tables can show what never ran as a gap."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from benchmark.records.canonical_experiment import CanonicalExperiment
from benchmark.records.section import Section


class PlanEntry(Section):
    """One run that was asked for; data set and category as the configuration names them.

    Attributes:
        experiment: None in plans of before, which named it by model, backbone and settings alone.
    """

    model: str = ""
    backbone: str = ""
    settings: str = ""
    dataset: str = ""
    category: str = ""
    seed: Annotated[int, Field(strict=False, ge=0)]
    experiment_id: str
    experiment: CanonicalExperiment | None = None


class SweepPlan(Section):
    """All runs of a sweep, the command that asked for them, the name of its configuration file, the requirement."""

    sweep: str = ""
    command: str = ""
    config: str = ""
    requirement: dict[str, Any] | None = None
    experiments: list[PlanEntry]
