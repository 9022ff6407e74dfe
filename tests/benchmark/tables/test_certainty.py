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
from benchmark.tables.leaderboard import COLUMNS, build_tables
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
    of_parts = [name for name in LEADERBOARD if name.startswith("part_")]  # out of sight where no parts are named
    assert len(LEADERBOARD) - len(of_parts) <= 19
    assert all(column(name).optional and column(name).note for name in of_parts)
    assert {"rank_range", "image_AUROC_interval", "missed_told", "false_alarms_told", "caution"} <= set(LEADERBOARD)
    assert all(column(name).note for name in ("rank_range", "missed_told", "image_AUROC_interval", "caution"))
    assert set(CERTAINTY) <= set(COLUMNS)


def test_texts():
    assert told_interval(0.931, 0.984) == "0.93–0.98"
    assert told_interval(0.9991, 0.9999) == "0.999–1.000"
    assert (told_count(15.0, 100), told_count(15.333, 100)) == ("15 of 100", "15.3 of 100")


@pytest.mark.parametrize(
    ("found", "changed", "told"),
    [(",crack,", ",crack,inf", "a finite number"), (",1,crack", ",2,crack", "'2', expected 0 or 1"),
     (",1\n", ",7\n", "the fold '7', expected 0 or 1"), ("bad/000", "bad/001", "expected each image once"),
     ("\n", "", "its last line is not whole")],
)  # fmt: skip
def test_a_damaged_score_is_told_with_its_file_and_the_other_rows_keep_their_intervals(tmp_path, found, changed, told):
    damaged = scored(tmp_path, gap=2.0)
    scored(tmp_path, gap=1.5, model="Padim", noise=1)
    path = tmp_path / damaged["folder"] / "scores.csv"
    whole = path.read_text()
    place = whole.rindex(found)
    path.write_text(whole[:place] + changed + whole[place + len(found) :])
    archive, stored = load(tmp_path), StoredScores(tmp_path)
    tables = build_tables(archive.records, archive.plans, stored=stored)
    assert any("scores.csv" in sentence and told in sentence for sentence in stored.sentences)
    assert tables.leaderboard.set_index("model")["missed"].notna().to_dict() == {"Patchcore": False, "Padim": True}


def test_a_detector_that_is_no_better_than_chance_is_said_to_be_none(tmp_path):
    scored(tmp_path, gap=0.0)
    (one,) = tables_in(tmp_path).decisions
    assert any("not shown to be better than chance" in sentence for sentence in one.how_sure)


def test_detectors_without_an_error_are_not_called_equal(tmp_path):
    scored(tmp_path, gap=50.0)
    scored(tmp_path, gap=50.0, model="Padim", noise=1)
    (one,) = tables_in(tmp_path).decisions
    assert any("same image AUROC on these test images" in sentence for sentence in one.next_steps)
    assert not any("as good as equal" in sentence for sentence in one.next_steps)
    assert any("twice as many test images: 60 more defective and 40 more good" in text for text in one.next_steps)
