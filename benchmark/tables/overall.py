"""Detectors over the categories of all data sets: average ranks, or the reason why there are none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from benchmark.statistics.many_categories import OverallRanking, overall_ranking
from benchmark.tables.judged_row import row_labels

METRIC = "image_AUROC"


def overall(lines: Sequence[dict[str, Any]], parts: Sequence[dict[str, Any]]) -> OverallRanking | str:
    """Average ranks by image AUROC of the detectors that have a rank in every data set.

    A detector is a model with its backbone and settings; data sets with drawn defects and real ones count alike.

    Args:
        lines: Of the leaderboard, one a row.
        parts: Of the categories; `_row` names the row that one belongs to.

    Returns:
        A sentence that says why there are none.
    """
    named = row_labels([line | {"dataset": ""} for line in _one_a_detector(lines)])
    labels = {_detector(line): label for line, label in zip(_one_a_detector(lines), named, strict=True)}
    ranked = {line["_row"]: labels[_detector(line)] for line in lines if line.get("rank")}
    cells = [
        {"place": (part["dataset"], part["category"]), "detector": ranked[part["_row"]], METRIC: part[METRIC]}
        for part in parts
        if part["_row"] in ranked
    ]
    if not cells:
        return "No ranking over categories: no detector has a rank."
    frame = pd.DataFrame(cells).astype({METRIC: "float64"})
    values = frame.pivot_table(index="place", columns="detector", values=METRIC)
    everywhere = values.loc[:, values.notna().all()]
    if everywhere.shape[1] < 2 <= values.shape[1]:
        return (
            f"No ranking over categories: fewer than two of {values.shape[1]} detectors have a rank in all of "
            f"{len(values)} categories."
        )
    return overall_ranking(everywhere)


def _detector(line: dict[str, Any]) -> tuple[str, str, str]:
    return line["model"], line["backbone"], line["settings"]


def _one_a_detector(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({_detector(line): line for line in lines}.values())


def overall_sentences(found: OverallRanking | str) -> list[tuple[str, str]]:
    """Name and sentence, for the reader of the tables."""
    if isinstance(found, str):
        return [("Over categories", found)]
    ranks = ", ".join(f"{n} {rank:.2f}" for n, rank in zip(found.detectors, found.average_ranks, strict=True))
    told = [("Average rank", f"{ranks}; over {found.n_categories} categories by image AUROC, 1 is best.")]
    if found.friedman_p is not None and found.critical_difference is not None:
        told.append((
            "Friedman, Nemenyi",
            f"All alike: p = {found.friedman_p:.3g}; average ranks that differ by more than "
            f"{found.critical_difference:.2f} are told apart.",
        ))  # fmt: skip
    apart = found.pairs[found.pairs["told_apart"] == "yes"]
    pairs = "; ".join(f"{one.first} and {one.second} ({one.p_adjusted:.3g})" for one in apart.itertuples())
    told.append(("Wilcoxon, Holm", f"Told apart (adjusted p): {pairs or 'none'}."))
    return told
