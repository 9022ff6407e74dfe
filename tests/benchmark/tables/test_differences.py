"""Pairs of rows on the same test images, and the ranks that they leave apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from benchmark.metrics.decision_columns import DIFFERENCES
from tests.benchmark.tables.fabricated_scores import scored, tables_in


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    output = tmp_path_factory.mktemp("out")
    for noise, (model, gap) in enumerate({"Patchcore": 2.6, "Padim": 2.5, "Cflow": 0.4}.items()):
        scored(output, model=model, gap=gap, noise=noise)
    return output


def test_each_pair_is_compared_once_and_adjusted_by_holm_within_its_metric(output):
    found = tables_in(output).differences
    assert tuple(found.columns) == DIFFERENCES
    assert found["metric"].value_counts().to_dict() == {"image_AUROC": 3, "image_F1Score": 3}
    for _, own in found.groupby("metric"):
        assert own["p_adjusted"].to_numpy() == pytest.approx(multipletests(own["p"], method="holm")[1])
        assert (own["told_apart"] == np.where(own["p_adjusted"] < 0.05, "yes", "no")).all()


def test_differences_are_those_of_the_leaderboard(output):
    tables = tables_in(output)
    board = tables.leaderboard.set_index("model")["image_AUROC"]
    own = tables.differences[tables.differences["metric"] == "image_AUROC"]
    for one in own.itertuples():
        first, second = (label.split(",")[0] for label in (one.first, one.second))
        assert one.difference == pytest.approx(board[first] - board[second])
        assert one.low < one.difference < one.high


def test_rows_that_cannot_be_told_apart_share_places_and_the_rank_stays_a_number(output):
    board = tables_in(output).leaderboard
    assert board["rank"].tolist() == [1, 2, 3]
    assert board["rank_range"].tolist() == ["1–2", "1–2", "3"]


def test_rows_of_other_test_images_are_not_compared_and_that_is_said(tmp_path):
    scored(tmp_path, model="Padim", gap=2.0)
    scored(tmp_path, model="Cflow", gap=0.1, n_good=30)
    (line,) = tables_in(tmp_path).differences.to_dict("records")
    assert "different images" in line["note"]
    assert pd.isna(line["p"])
    assert tables_in(tmp_path).leaderboard["rank"].tolist() == [1, 2]


def test_without_scores_there_are_ranks_and_no_differences(output):
    from benchmark.records.archive import load
    from benchmark.tables.leaderboard import build_tables

    tables = build_tables(load(output).records)
    assert tables.differences.empty
    assert tables.decisions == []
    assert tables.leaderboard["rank_range"].tolist() == ["1", "2", "3"]
    assert tables.leaderboard["image_AUROC_low"].isna().all()
