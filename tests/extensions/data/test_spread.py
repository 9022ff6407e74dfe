"""Rows of as many units as possible."""

from __future__ import annotations

from collections import Counter

from extensions.data.splits import spread

UNITS = ["a", "a", "a", "b", "b", "c", "d", "d"]


def test_one_row_of_each_unit_before_a_second_of_any() -> None:
    for n in range(len(UNITS) + 3):
        rows = spread(UNITS, n, seed=1)
        counts = Counter(UNITS[row] for row in rows)
        assert len(rows) == len(set(rows)) == min(n, len(UNITS))
        assert rows == sorted(rows)
        least = min((counts[unit] for unit in set(UNITS) if counts[unit] < UNITS.count(unit)), default=9)
        assert all(count <= least + 1 for count in counts.values()), counts


def test_the_seed_chooses_the_units() -> None:
    chosen = {tuple(spread(UNITS, 2, seed=seed)) for seed in range(20)}
    assert len(chosen) > 1
    assert spread(UNITS, 2, seed=3) == spread(UNITS, 2, seed=3)
