"""Columns from the scores of the images: intervals, counts at the requirement, cautions, what old records lack."""

from __future__ import annotations

import pytest
from sklearn.metrics import roc_curve
from statsmodels.stats.proportion import proportion_confint

from benchmark.metrics.columns import LEADERBOARD, column
from benchmark.records.archive import load
from benchmark.statistics.requirement import Requirement
from benchmark.statistics.thresholds import operating_point
from benchmark.tables.certainty import CERTAINTY, told_count, told_interval
from benchmark.tables.leaderboard import COLUMNS
from benchmark.tables.stored_scores import StoredScores
from tests.benchmark.tables.fabricated_scores import scored, tables_in


def test_a_row_tells_intervals_and_counts_and_both_tables_alike_for_one_category(tmp_path):
    scored(tmp_path, gap=2.0)
    tables = tables_in(tmp_path, requirement=Requirement(max_false_alarms=0.1))
    line = tables.leaderboard.iloc[0]
    assert line["image_AUROC_low"] < line["image_AUROC"] < line["image_AUROC_high"]
    assert (line["n_defective"], line["n_good"], line["requirement"]) == (60, 40, "at most 10 % false alarms")
    assert line["missed_told"] == f"{line['missed']:.0f} of 60"
    low, high = proportion_confint(line["missed"], 60, method="beta")
    assert (line["missed_low"], line["missed_high"]) == pytest.approx((low, high))
    for name in CERTAINTY:
        if name != "rank_range":
            assert str(tables.by_category.iloc[0][name]) == str(line[name]), name


def test_counts_of_two_seeds_and_categories_are_means_and_sums(tmp_path):
    for category in ("a", "b"):
        for seed in (0, 1):
            scored(tmp_path, gap=1.5, category=category, seed=seed, noise=seed + 2 * (category == "b"))
    tables = tables_in(tmp_path)
    parts = tables.by_category.set_index("category")
    line = tables.leaderboard.iloc[0]
    assert line["missed"] == pytest.approx(parts["missed"].sum())
    assert line["n_defective"] == 120
    assert line["n_seeds"] == 2


def test_few_images_are_cautioned_against(tmp_path):
    scored(tmp_path, gap=2.0, n_good=12)
    (text,) = tables_in(tmp_path).leaderboard["caution"]
    assert text == "12 good images: a false-alarm rate below 22 % cannot be shown"


def test_metrics_that_a_record_lacks_are_computed_from_its_scores(tmp_path):
    record = scored(tmp_path, gap=1.5)
    assert record["metrics"].pop("image_recall_at_FPR5") is not None
    (old,) = load(tmp_path).records
    metrics = {name: value for name, value in old.metrics.items() if name != "image_recall_at_FPR5"}
    stored = StoredScores(tmp_path)
    found = stored.completed(old.model_copy(update={"metrics": metrics}))
    scores = stored.of(old)
    false, true, _ = roc_curve(scores.labels, scores.scores, drop_intermediate=False)
    assert found.metrics["image_recall_at_FPR5"] == pytest.approx(true[false <= 0.05].max())


def test_scores_that_cannot_be_read_leave_blanks_and_a_warning(tmp_path):
    record = scored(tmp_path, gap=2.0)
    (tmp_path / record["folder"] / "scores.csv").write_text("image,label\n")
    tables = tables_in(tmp_path)
    assert tables.leaderboard["missed"].isna().all()
    warnings = tables.about.loc[tables.about["section"] == "Warnings", "value"]
    assert any("scores.csv" in text for text in warnings)


def test_the_operating_point_is_that_of_the_statistics(tmp_path):
    scored(tmp_path, gap=2.0)
    asked = Requirement(max_missed=0.1, max_false_alarms=0.1)
    tables = tables_in(tmp_path, requirement=asked)
    from benchmark.tables.row_samples import row_samples

    (record,) = load(tmp_path).records
    from benchmark.records.cells import group_runs

    (row,) = group_runs([record], [])
    point = operating_point(row_samples(row, ["mono"], StoredScores(tmp_path)), asked)
    line = tables.leaderboard.iloc[0]
    assert (line["missed"], line["false_alarms"]) == (point.missed, point.false_alarms)
    assert line["unsure"] == pytest.approx(point.unsure)


def test_the_leaderboard_is_short_and_every_column_of_it_has_a_heading():
    assert len(LEADERBOARD) <= 18
    assert {"rank_range", "image_AUROC_interval", "missed_told", "false_alarms_told", "caution"} <= set(LEADERBOARD)
    assert all(column(name).note for name in ("rank_range", "missed_told", "image_AUROC_interval", "caution"))
    assert set(CERTAINTY) <= set(COLUMNS)


def test_texts():
    assert told_interval(0.931, 0.984) == "0.93–0.98"
    assert told_interval(0.9991, 0.9999) == "0.999–1.000"
    assert (told_count(15.0, 100), told_count(15.333, 100)) == ("15 of 100", "15.3 of 100")
