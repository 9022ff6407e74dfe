from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.api.output_tables import write_tables
from benchmark.records.archive import load
from benchmark.report.write import ReportError
from benchmark.tables.leaderboard import COLUMNS, Frames
from tests.benchmark.fabricated import make_plan, make_record, make_sweep, tables_of, write

CONTRACT = """rank, model, backbone, layers, settings, dataset, category, n_seeds, n_categories, image_AUROC,
image_F1Score, pixel_AUROC, pixel_F1Score, image_F1Max, pixel_F1Max, pixel_AUPRO, image_F1Floor,
pixel_F1Floor, image_size, epochs, fit_seconds, latency_ms, latency_p95_ms, peak_memory_bytes,
model_bytes, threshold_source, k_shot, contamination_ratio, synthetic, weights_sha256, run_keys,
checkpoint, status"""


def only(frame: pd.DataFrame, **wanted: object) -> pd.Series:
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1, frame
    return frame.iloc[0]


def auroc(value: float | None, **others: float | None) -> dict[str, float | None]:
    return {"image_AUROC": value} | others


def test_columns_are_those_of_the_contract() -> None:
    promised = re.split(r",\s+", CONTRACT)
    assert [name for name in COLUMNS if name in promised] == promised
    for name in ("image_AUROC", "image_F1Score", "pixel_AUROC", "pixel_F1Score"):
        assert COLUMNS[COLUMNS.index(name) + 1] == f"{name}_std"


def test_means_are_over_seeds_then_over_categories() -> None:
    values = {("a", 0): 0.9, ("a", 1): 0.8, ("b", 0): 0.7, ("b", 1): 0.5}
    found = tables_of([make_record(category=c, seed=s, metrics=auroc(v)) for (c, s), v in values.items()])
    mean = only(found.leaderboard, model="Patchcore")
    assert mean["image_AUROC"] == pytest.approx(np.mean([np.mean([0.9, 0.8]), np.mean([0.7, 0.5])]))
    assert mean["image_AUROC_std"] == pytest.approx(np.std([np.mean([0.9, 0.7]), np.mean([0.8, 0.5])], ddof=1))
    first = only(found.by_category, category="a")
    assert first["image_AUROC"] == pytest.approx(0.85)
    assert first["image_AUROC_std"] == pytest.approx(np.std([0.9, 0.8], ddof=1))
    assert (mean["category"], mean["n_seeds"], mean["n_categories"], mean["status"]) == ("mean", 2, 2, "4 of 4 runs")
    assert (first["n_seeds"], first["n_categories"], first["status"]) == (2, 1, "2 of 2 runs")


def test_one_seed_has_no_spread() -> None:
    assert np.isnan(tables_of([make_record()]).leaderboard["image_AUROC_std"].iloc[0])


def test_solar_cells_of_two_kinds_are_two_categories_of_one_row() -> None:
    found = tables_of([make_record(category=kind, data_arguments={"cells": kind}) for kind in ("mono", "poly")])
    mean = only(found.leaderboard)
    assert (mean["settings"], mean["n_categories"], mean["status"]) == ("", 2, "2 of 2 runs")


def test_a_data_set_without_categories_has_its_own_row_and_its_mean() -> None:
    found = tables_of([make_record(category="")])
    assert found.table["category"].tolist() == ["mean", "all"]
    assert found.table["image_AUROC"].tolist() == [0.9, 0.9]


def test_rank_is_within_a_data_set_by_image_auroc_then_pixel_auroc_then_latency() -> None:
    records = [
        make_record(model="A", metrics=auroc(0.8, pixel_AUROC=0.99)),
        make_record(model="B", metrics=auroc(0.9, pixel_AUROC=0.5), latency=9.0),
        make_record(model="C", metrics=auroc(0.9, pixel_AUROC=0.5), latency=5.0),
        make_record(model="D", metrics=auroc(0.9, pixel_AUROC=0.6), latency=50.0),
        make_record(model="E", metrics=auroc(0.9, pixel_AUROC=None), latency=1.0),
        make_record(model="A", dataset="other", metrics=auroc(0.1)),
    ]
    found = tables_of(records).leaderboard
    ranks = {(line.dataset, line.model): line.rank for line in found.itertuples()}
    assert ranks == {("elpv", m): r for r, m in enumerate("DCBEA", start=1)} | {("other", "A"): 1}
    assert found["model"].tolist() == ["D", "C", "B", "E", "A", "A"]


def test_equal_rows_share_a_rank() -> None:
    assert tables_of([make_record(model=m) for m in "AB"]).leaderboard["rank"].tolist() == [1, 1]


def test_a_failed_seed_takes_the_rank_and_keeps_the_value() -> None:
    records = [make_record(seed=0), make_record(seed=1, status="failed"), make_record(model="Padim")]
    line = only(tables_of(records).leaderboard, model="Patchcore")
    assert pd.isna(line["rank"])
    assert line["image_AUROC"] == 0.9
    assert (line["status"], line["n_seeds"]) == ("1 of 2 runs, 1 failed", 1)


def test_a_missing_category_blanks_the_mean_and_the_rank() -> None:
    records = [make_record(category="a"), make_record(category="b", status="missing"), make_record(dataset="other")]
    found = tables_of(records)
    line = only(found.leaderboard, dataset="elpv")
    assert pd.isna(line["rank"])
    assert np.isnan(line["image_AUROC"])
    assert line["status"] == "1 of 2 runs, 1 data not on disk"
    assert only(found.by_category, category="a")["image_AUROC"] == 0.9
    assert only(found.failures, category="b")["state"] == "data not on disk"


def test_a_category_that_only_another_model_has_is_a_gap() -> None:
    records = [make_record(category="a"), make_record(model="Padim", category="a"), make_record(category="b")]
    line = only(tables_of(records).leaderboard, model="Padim")
    assert pd.isna(line["rank"])
    assert line["status"] == "1 of 2 runs, 1 not run"


def test_more_seeds_of_one_model_leave_the_others_ranked() -> None:
    records = [make_record(), make_record(seed=1), make_record(model="Padim", metrics=auroc(0.95))]
    assert only(tables_of(records).leaderboard, model="Padim")["rank"] == 1


@pytest.mark.parametrize("exact", [True, False])
def test_what_a_plan_asked_for_and_never_ran_is_a_gap(exact: bool) -> None:
    done = [make_record(category="a"), make_record(category="a", seed=1)]
    never = [make_record(category="a", seed=2), make_record(model="Stfpm", category="a"), make_record(category="b")]
    found = tables_of(done, [make_plan(*done, *never, exact=exact)])
    line = only(found.leaderboard, model="Patchcore")
    assert pd.isna(line["rank"])
    assert line["status"] == "2 of 6 runs, 4 not run"
    assert only(found.leaderboard, model="Stfpm")["n_seeds"] == 0
    assert found.failures["state"].tolist() == ["not run yet"] * 3


def test_a_run_that_had_not_converged_is_marked_and_not_ranked() -> None:
    records = [make_record(model="Stfpm", converged=False, metrics=auroc(0.99)), make_record()]
    found = tables_of(records).leaderboard
    line = only(found, model="Stfpm")
    assert pd.isna(line["rank"])
    assert line["status"] == "1 of 1 runs, not converged"
    assert only(found, model="Patchcore")["rank"] == 1


def test_what_could_not_be_computed_is_blank_and_never_zero(tmp_path: Path) -> None:
    blank = dict.fromkeys(("pixel_AUROC", "pixel_F1Score", "pixel_AUPRO"))
    write(tmp_path, [make_record(metrics=blank), make_record(seed=1)])
    write_tables(tmp_path, formats=("csv",))
    read = pd.read_csv(tmp_path / "leaderboard.csv")
    assert read[list(blank)].isna().all(axis=None)
    assert read["image_AUROC"].tolist() == [0.9, 0.9]


def test_the_newest_record_of_an_experiment_counts_and_the_other_is_shown_as_superseded() -> None:
    old = make_record(metrics=auroc(0.6), started="2026-01-01T00:00:00+00:00", content="old")
    new = make_record(metrics=auroc(0.7), started="2026-02-01T00:00:00+00:00", content="new")
    for records in ([old, new], [new, old]):
        found = tables_of(records)
        assert found.leaderboard["image_AUROC"].tolist() == [0.7]
        assert only(found.runs, key=old["key"])["in_table"] == "no, superseded"
        assert only(found.runs, key=new["key"])["in_table"] == "yes"


def test_a_finished_record_counts_before_a_newer_failure() -> None:
    done = make_record(started="2026-01-01T00:00:00+00:00", content="a")
    failed = make_record(started="2026-02-01T00:00:00+00:00", content="b", status="failed")
    failed["dataset"]["name"] = "Elpv"  # without data a run knows its class alone
    found = tables_of([done, failed])
    assert found.leaderboard["status"].tolist() == ["1 of 1 runs"]
    assert found.failures.empty


def test_a_record_of_another_protocol_is_shown_and_does_not_count() -> None:
    found = tables_of([make_record(protocol_version=0)])
    assert found.leaderboard.empty
    assert found.runs["in_table"].tolist() == ["no, protocol 0 is not 1"]


def test_rows_that_differ_in_data_alone_are_told_apart_in_their_settings() -> None:
    records = [make_record(data_arguments={"test_split_ratio": r}, seed=s) for r in (0.2, 0.5) for s in (0, 1)]
    found = tables_of(records).leaderboard
    assert sorted(found["settings"]) == ["test_split_ratio=0.2", "test_split_ratio=0.5"]
    assert found["n_seeds"].tolist() == [2, 2]


def test_folders_may_differ_between_categories_but_not_within_one() -> None:
    one = [make_record(category=c, data_arguments={"normal_dir": f"{c}/good"}) for c in "ab"]
    assert len(tables_of(one).leaderboard) == 1
    two = [make_record(category="a", data_arguments={"normal_dir": name}) for name in ("good", "noisy")]
    assert sorted(tables_of(two).leaderboard["settings"]) == ["normal_dir=good", "normal_dir=noisy"]


def test_synthetic_marks_every_row_of_the_data_set() -> None:
    records = [make_record(synthetic=True), make_record(model="Padim", status="failed")]
    found = tables_of(records, [make_plan(make_record(model="Stfpm"))])
    assert found.table["synthetic"].all()
    assert found.failures["synthetic"].all()


def test_csv_holds_unrounded_numbers_and_harmless_texts(tmp_path: Path) -> None:
    value = 0.123456789012345678
    names = ["=HYPERLINK(1)", "+a", "-b", "@c"]
    write(tmp_path, [make_record(model=name, metrics=auroc(value)) for name in names])
    (path,) = write_tables(tmp_path, formats=("csv",))
    read = pd.read_csv(path)
    assert (read["image_AUROC"] == value).all()
    assert set(read["model"]) == {f"'{name}" for name in names}
    assert list(read.columns) == list(COLUMNS)


def test_an_unreadable_record_is_named_and_hides_nothing(tmp_path: Path) -> None:
    write(tmp_path, [make_record()])
    short = {"key": "z", "status": "finished"}
    nameless = short | {"model": "Padim", "dataset": "elpv"}
    for place, text in (("x", "{broken"), ("y", "[]"), ("z", json.dumps(short)), ("w", json.dumps(nameless))):
        folder = tmp_path / "runs" / "elpv" / "mono" / "Padim" / place
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(text)
    archive = load(tmp_path)
    assert len(archive.records) == 1
    found = tables_of(archive.records, archive.plans, warnings=archive.warnings)
    shown = found.about.loc[found.about["section"] == "Warnings", "value"].tolist()
    assert len(shown) == 4
    assert all(any(f"Padim/{place}/record.json" in text for text in shown) for place in "wxyz")
    assert any("no model, dataset" in text for text in shown)


def test_no_records_at_all_give_empty_tables(tmp_path: Path) -> None:
    found = tables_of([])
    assert all(len(frame) == 0 for frame in (found.leaderboard, found.by_category, found.runs, found.failures))
    (tmp_path / "runs").mkdir()
    assert len(write_tables(tmp_path)) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"status": "odd"}, {"metrics": {"image_AUROC": "high"}}, {"layers": 5}, {"dataset": {"name": 5}},
        {"experiment": {"seed": "x"}}, {"model": None}, {"dataset": "d"},
    ],
    ids=str,
)  # fmt: skip
def test_a_record_of_another_form_hides_no_other_and_is_named(tmp_path: Path, change: dict) -> None:
    broken = make_record(seed=1)
    output = write(tmp_path, [make_record(), broken | change])
    archive = load(output)
    assert len(tables_of(archive.records).leaderboard) == 1
    assert broken["folder"] in archive.warnings[0]


@pytest.mark.parametrize(
    "content", ['{"experiments": 3}', '{"experiments": [{}]}', '{"experiments": ["a"]}', "[]", "{"]
)
def test_a_plan_of_another_form_is_named_and_left_out(tmp_path: Path, content: str, caplog) -> None:
    output = write(tmp_path, [make_record()], (make_plan(make_record()),))
    (output / "plans" / "broken.json").write_text(content)
    write_tables(output, formats=["csv"])
    assert "plans/broken.json" in caplog.text


def test_differences_of_environment_and_data_are_warnings() -> None:
    records = make_sweep()
    records[0]["environment"]["torch"] = "2.14.0"
    records[1]["dataset"]["sha256"] = "changed"
    about = tables_of(records).about
    warnings = " ".join(about.loc[about["section"] == "Warnings", "value"])
    assert "Runs differ in torch: 2.15.0" in warnings
    assert "2.14.0 (1 run)" in warnings
    assert "bottle/front: rows differ in the content of the data" in warnings


@pytest.mark.parametrize("asked", [{"contamination": {"n_injected": 0}}, {"known_kinds": {"dent": 3}}])
def test_data_with_defects_in_training_differ_from_the_plain_on_purpose(asked: dict) -> None:
    records = make_sweep()
    for number, record in enumerate(records):
        record["dataset"] |= asked | {"sha256": f"seed {number}"}
    about = tables_of(records).about
    assert "content of the data" not in " ".join(about.loc[about["section"] == "Warnings", "value"])


def test_about_tells_how_the_numbers_were_made() -> None:
    records = make_sweep()
    about = tables_of(records, [make_plan(*records)]).about
    text = " ".join(about["value"])
    for expected in ("python -m benchmark run", "200 training images", "synthetic defects", "Some CPU", "2.7.0"):
        assert expected in text
    assert "Patchcore on tf_efficientnet_lite0" in only(about, section="Result", name="bottle")["value"]


def test_an_open_or_unwritable_file_is_said_and_the_others_are_written(tmp_path: Path) -> None:
    write(tmp_path, [make_record()])
    (tmp_path / "~$leaderboard.xlsx").touch()
    with pytest.raises(ReportError, match=r"leaderboard\.xlsx could not be written: it is open .* No result is lost"):
        write_tables(tmp_path)
    assert {p.name for p in tmp_path.glob("leaderboard.*")} == {"leaderboard.csv", "leaderboard.html"}
    (tmp_path / "~$leaderboard.xlsx").unlink()
    (tmp_path / "leaderboard.xlsx").mkdir()  # cannot be replaced by a file, whoever runs the test
    with pytest.raises(ReportError, match="python -m benchmark table --output"):
        write_tables(tmp_path)
    assert not list(tmp_path.glob(".leaderboard*")), "temporary files are left"


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path, make_sweep())
    first = [path.read_bytes() for path in write_tables(tmp_path, formats=("csv", "html"))]
    assert [path.read_bytes() for path in write_tables(tmp_path, formats=("csv", "html"))] == first


def test_leading_runs_are_those_of_the_best_rows() -> None:
    found: Frames = tables_of(make_sweep())
    assert {r.model for rank, r in found.leading if rank == 1} == {"Patchcore"}
