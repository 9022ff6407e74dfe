"""Each pair of ranked rows of a data set, compared on the same test images."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from benchmark.metrics.decision_columns import DIFFERENCES
from benchmark.statistics.comparison import Difference, compare, holm, rank_ranges
from benchmark.tables.judged_row import JudgedRow

RANKED_BY = "image_AUROC"
COMPARED = (RANKED_BY, "image_F1Score", "pixel_AUROC", "pixel_AUPRO")
ALPHA = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class Compared:
    """Two rows in one metric.

    Attributes:
        first: The better ranked.
        second: The other.
        found: First less second; None where their test images differ.
        p_adjusted: By Holm over the pairs of the data set and metric.
    """

    first: JudgedRow
    second: JudgedRow
    found: Difference | None
    p_adjusted: float = math.nan

    @property
    def told_apart(self) -> bool:
        """Whether the test images tell them apart."""
        return self.p_adjusted < ALPHA


def compare_rows(rows: Sequence[JudgedRow], *, metrics: Sequence[str] = COMPARED) -> list[Compared]:
    """All pairs of rows that have a rank and scores, in the order of the rows, of each data set and metric."""
    ranked = [row for row in rows if row.rank is not None and row.samples is not None]
    found: list[Compared] = []
    for dataset in dict.fromkeys(row.dataset for row in ranked):
        pairs = list(itertools.combinations([row for row in ranked if row.dataset == dataset], 2))
        alike = {row: _images(row) for pair in pairs for row in pair}
        found += [Compared(first=a, second=b, found=None) for a, b in pairs if alike[a] != alike[b]]
        for metric in metrics:
            differences = [
                Compared(first=a, second=b, found=compare(a.samples, b.samples, metric=metric))
                for a, b in pairs
                if alike[a] == alike[b] and a.samples and b.samples and _has(a, metric) and _has(b, metric)
            ]
            found += _adjusted(differences)
    return found


def set_rank_ranges(rows: Sequence[JudgedRow], compared: Sequence[Compared]) -> None:
    """Give the line of each ranked row its `rank_range` by image AUROC."""
    for dataset in dict.fromkeys(row.dataset for row in rows):
        ranked = [row for row in rows if row.dataset == dataset and row.rank is not None]
        told = {
            frozenset((one.first.label, one.second.label)): one.told_apart
            for one in compared
            if one.first.dataset == dataset and one.found is not None and one.found.metric == RANKED_BY
        }
        if not told:
            places = {row.label: str(row.rank) for row in ranked}
        else:
            means = [row.number(RANKED_BY) or 0.0 for row in ranked]
            places = rank_ranges([row.label for row in ranked], means, told_apart=told)
        for row in ranked:
            row.line["rank_range"] = places[row.label]


def differences_frame(compared: Sequence[Compared]) -> pd.DataFrame:
    """Columns `DIFFERENCES`; blank numbers where the test images of a pair differ, which `note` tells."""
    return pd.DataFrame([_line(one) for one in compared], columns=list(DIFFERENCES))


def _has(row: JudgedRow, metric: str) -> bool:
    """Whether a row can be compared in a metric."""
    if row.number(metric) is None:
        return False
    return metric.startswith("image_") or all(metric in sample.pixel for sample in row.samples or ())


def _images(row: JudgedRow) -> frozenset[tuple[int, str, int]]:
    """The test images of a row: category, name and label."""
    return frozenset(
        (place, name, int(label))
        for place, sample in enumerate(row.samples or ())
        for name, label in zip(sample.ids, sample.labels, strict=True)
    )


def _adjusted(pairs: Sequence[Compared]) -> Iterable[Compared]:
    known = [one for one in pairs if one.found is not None and not math.isnan(one.found.difference)]
    adjusted = holm([one.found.p for one in known if one.found is not None])
    return [replace(one, p_adjusted=p) for one, p in zip(known, adjusted, strict=True)]


def _line(one: Compared) -> dict[str, Any]:
    line: dict[str, Any] = {"dataset": one.first.dataset, "first": one.first.label, "second": one.second.label}
    if one.found is None:
        return line | {"note": "Not compared: they were tested on different images."}
    names = ("metric", "difference", "low", "high", "p", "method", "n_images", "n_seeds", "note")
    line |= {name: getattr(one.found, name) for name in names}
    return line | {"p_adjusted": one.p_adjusted, "told_apart": "yes" if one.told_apart else "no"}
