"""Conformal thresholds and the band keep their rates in simulation, and are not far below them."""

from __future__ import annotations

import pytest

from benchmark.statistics import threshold_coverage
from benchmark.statistics.requirement import Requirement


def test_rates_are_kept_on_average_over_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ((Requirement(max_missed=0.1, max_false_alarms=0.1), 30, 30), (Requirement(max_false_alarms=0.05), 40, 0))
    monkeypatch.setattr(threshold_coverage, "RATES", asked)
    rows = list(threshold_coverage.threshold_rows(200))
    assert len(rows) == 18
    for row in rows:
        n = row.n_defective if row.what.endswith("missed") else row.n_good
        assert row.coverage > row.promised - 0.015, row  # the noise of 200 draws
        if "tied" not in row.case:
            assert row.coverage < row.promised + 2 / n + 0.015, row
