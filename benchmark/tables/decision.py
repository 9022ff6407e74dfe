"""The decision on a data set, as the first sheet and the page tell it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmark.statistics.operating_point import OperatingPoint

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.tables.gallery import GalleryImage


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Of raw scores: below `lower` good, from `upper` on defective, between them unsure; equal where there is one."""

    lower: float
    upper: float
    source: str

    @property
    def levels(self) -> list[float]:
        """The thresholds there are, one or two, ascending."""
        return sorted({self.lower, self.upper})


@dataclass(frozen=True, kw_only=True)
class LeadingRow:
    """A leading row of the leaderboard, with what its curves and its threshold are drawn from.

    Attributes:
        label: Model, backbone and, where they tell rows apart, settings.
        place: Such as `1` or `1–3`.
        key: Of the run that the scores are of: the one that the export command takes.
        scores: A row an image: image, label (0 good, 1 defective), kind, score (raw, higher is more anomalous); of
            several categories `category` tells them apart.
        thresholds: Those of the run at the requirement; None where it has none.
        point: What the row does at the requirement, or at the first standard point; None where that is not known.
    """

    label: str
    model: str
    backbone: str
    settings: str
    place: str
    key: str
    scores: pd.DataFrame
    thresholds: Thresholds | None = None
    point: OperatingPoint | None = None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Which detector to put on the line, for one data set.

    Attributes:
        dataset: As shown: one with drawn defects says so.
        recommendation: Two sentences: which, and why.
        points: What the recommended row does at the requirement, or at the standard points.
        how_sure: Sentences: intervals, seeds, and what cannot be shown.
        next_steps: Sentences: what would make it surer.
        leading: The recommended row first, then those that cannot be told from it, at most three in all.
        examples: One missed, one false alarm and one typical image, as far as there are any.
        command: That exports the recommended run.
    """

    dataset: str
    recommendation: tuple[str, ...]
    points: tuple[OperatingPoint, ...]
    how_sure: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()
    leading: tuple[LeadingRow, ...] = ()
    examples: tuple[GalleryImage, ...] = field(default=())
    command: str = ""
