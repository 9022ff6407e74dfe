"""Columns of our sheets that a team fills in, keyed by runs, so that they stay with their row when tables change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

COMMENT = "Comment"
KEY = "Row key"
"""Heading of the hidden column that says what a row is about: its run keys, else its names."""
KEYED = ("Leaderboard", "Runs")
_NAMES = ("model", "backbone", "settings", "dataset", "category", "seed")


@dataclass(frozen=True)
class TeamRow:
    """What a team wrote beside one row.

    Attributes:
        key: Of the row: run keys joined by `;`, or its names.
        told: The row as a reader knows it, for when it is gone.
        values: One for each heading.
    """

    key: str
    told: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class TeamColumns:
    """The column `Comment` and whatever the team added to its right."""

    headings: tuple[str, ...] = (COMMENT,)
    rows: tuple[TeamRow, ...] = field(default=())


def row_keys(frame: pd.DataFrame) -> list[str]:
    """What each row of the leaderboard or of the runs is about."""
    column = "run_keys" if "run_keys" in frame.columns else "key"
    return [
        str(line[column]) if isinstance(line[column], str) and line[column] else _named(line)
        for _, line in frame.iterrows()
    ]


def placed(team: TeamColumns, keys: Sequence[str]) -> tuple[list[tuple[Any, ...] | None], list[TeamRow]]:
    """What stands beside each row, and what belongs to none of them any more.

    A row is known again by the runs that it shares: a fourth seed leaves a comment where it is. Of several rows the
    one that shares most takes it; a second comment for a row that has one is kept in the list of those without a row.
    """
    runs = [set(key.split(";")) for key in keys]
    beside: list[tuple[Any, ...] | None] = [None] * len(keys)
    left = []
    for row in team.rows:
        shared = [len(set(row.key.split(";")) & of) / len(of) for of in runs]
        best = max(range(len(keys)), key=lambda i: (shared[i], keys[i] == row.key), default=None)
        if best is None or not shared[best] or beside[best] is not None:
            left.append(row)
        else:
            beside[best] = row.values
    return beside, left


def _named(line: pd.Series) -> str:
    return "|".join(str(line[name]) for name in _NAMES if name in line.index and pd.notna(line[name]))
