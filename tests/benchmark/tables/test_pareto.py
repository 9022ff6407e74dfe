"""The Pareto front of accuracy against latency."""

import numpy as np
import pandas as pd
import pytest

from benchmark.report.scatter import front_steps, scatter_points
from benchmark.tables.pareto import on_front
from tests.benchmark.fabricated import make_record, tables_of


def slow_front(points: list[tuple[float, float]]) -> list[bool]:
    """By the definition: nothing is at least as good in both and better in one."""
    found = []
    for auroc, latency in points:
        beaten = False
        for other_auroc, other_latency in points:
            at_least = other_auroc >= auroc and other_latency <= latency
            if at_least and (other_auroc > auroc or other_latency < latency):
                beaten = True
        found.append(not beaten)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_front_is_that_of_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = [(round(a, 1), round(b)) for a, b in zip(rng.random(30), 5 * rng.random(30), strict=True)]  # with ties
    assert on_front(*map(list, zip(*points, strict=True))) == slow_front(points)


def line(model: str, auroc: float | None, latency: float | None, **changes: object) -> dict:
    return make_record(model=model, metrics={"image_AUROC": auroc}, latency=latency, **changes)


def test_a_row_is_marked_by_data_set_and_blank_where_a_number_is_missing() -> None:
    tables = tables_of([
        line("Patchcore", 0.95, 40.0), line("Padim", 0.90, 20.0), line("Stfpm", 0.89, 30.0), line("Cflow", 0.99, None),
        line("Fastflow", 0.99, 10.0, converged=False), line("Padim", 0.5, 90.0, dataset="mtd"),
    ])  # fmt: skip
    marked = {(row.model, row.dataset): row.pareto for row in tables.leaderboard.itertuples()}
    assert marked["Patchcore", "elpv"] == marked["Padim", "elpv"] == marked["Padim", "mtd"] == "yes"
    assert marked["Stfpm", "elpv"] == "no"
    assert pd.isna(marked["Cflow", "elpv"])
    assert pd.isna(marked["Fastflow", "elpv"])
    assert set(tables.by_category["pareto"].dropna()) == {"yes", "no"}


def test_the_chart_draws_the_front_as_a_staircase() -> None:
    tables = tables_of([line("Patchcore", 0.95, 40.0), line("Padim", 0.90, 20.0), line("Stfpm", 0.89, 30.0)])
    series = scatter_points(tables.leaderboard)["elpv"]
    assert front_steps(series) == [(20.0, 0.90), (40.0, 0.90), (40.0, 0.95)]
    assert front_steps({"Padim": series["Padim"]}) == []
