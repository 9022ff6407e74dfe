"""`--run best` and the commands of the page, by records with known numbers."""

from __future__ import annotations

import pytest

from benchmark.records.archive import load
from benchmark.tables.best import best_run, best_runs, is_best
from benchmark.tables.export_commands import exports
from tests.benchmark.fabricated import make_record, make_sweep, tables_of, write
from tests.benchmark.tables.fabricated_scores import scored


def with_auroc(value: float | None, **facts):
    return make_record(metrics={"image_AUROC": value}, **facts)


def test_best_is_the_leaderboards_rank_1_and_of_its_seeds_the_best(tmp_path):
    records = [
        *(with_auroc(auroc, model="Padim", seed=seed) for seed, auroc in enumerate((0.90, 0.96, 0.93))),
        *(with_auroc(auroc, model="Stfpm", seed=seed) for seed, auroc in enumerate((0.99, 0.70, 0.80))),
        with_auroc(1.0, model="Cflow", converged=False),
    ]
    archive = load(write(tmp_path, records))
    best = best_run("best", archive, tmp_path)
    assert best.record.key == records[1]["key"]
    board = tables_of(archive.records).leaderboard
    assert best.record.key in board.loc[board["rank"] == 1, "run_keys"].item()
    assert best.told == (
        f"best on elpv: Padim resnet18, run {records[1]['key']}, image AUROC 0.9600 (seed 1, the best of 3 seeds)"
    )
    assert best_run("best:elpv", archive, tmp_path).record.key == records[1]["key"]


def test_of_several_data_sets_they_are_listed_with_a_command(tmp_path):
    one, two = with_auroc(0.9, dataset="cans"), with_auroc(0.8, dataset="lids")
    archive = load(write(tmp_path, [one, two]))
    with pytest.raises(ValueError, match="several data sets have one") as told:
        best_run("best", archive, tmp_path)
    for expected in (f"best:cans is Patchcore resnet18, run {one['key']}", f"best:lids .* run {two['key']}",
                     f"workbench export --run best:cans --records {tmp_path} --output model"):  # fmt: skip
        assert told.match(expected)
    assert best_run("best:lids", archive, tmp_path).record.key == two["key"]
    with pytest.raises(ValueError, match=r"there is no 'caps' among those that have one: best:cans"):
        best_run("best:caps", archive, tmp_path)


def test_each_category_has_its_own(tmp_path):
    archive = load(write(tmp_path, make_sweep()))
    found = best_runs(archive)
    assert [one.where for one in found] == ["bottle/back", "bottle/front", "tiles/back", "tiles/front"] or [
        one.where for one in found
    ] == ["bottle/front", "bottle/back", "tiles/front", "tiles/back"]
    front = best_run("best:bottle/front", archive, tmp_path)
    assert front.record.dataset.category == "front"
    assert front.record.seed == 2  # each seed of the made-up sweep is better than the one before
    with pytest.raises(ValueError, match=r"best:bottle/back is"):
        best_run("best:bottle", archive, tmp_path)


def test_what_the_test_images_do_not_tell_from_it_is_named(tmp_path):
    for noise, (model, gap) in enumerate({"Patchcore": 2.6, "Padim": 2.5, "Cflow": 0.4}.items()):
        scored(tmp_path, model=model, gap=gap, noise=noise)
    told = best_run("best", load(tmp_path), tmp_path).told
    assert told.endswith("; on these test images it cannot be told from Padim, resnet18")


def test_without_a_rank_there_is_no_best(tmp_path):
    archive = load(write(tmp_path, [with_auroc(None)]))
    with pytest.raises(ValueError, match=r"no run in .* has a rank .* choose a run by its key"):
        best_run("best", archive, tmp_path)


def test_a_key_is_no_best():
    assert [is_best(text) for text in ("best", "best:x", "bestow", "0abc")] == [True, True, False, False]


def test_commands_of_a_row_name_its_runs_the_best_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    records = [with_auroc(auroc, seed=seed) for seed, auroc in enumerate((0.90, 0.96))]
    output = write(tmp_path / "my out", [*records, with_auroc(0.5, dataset="lids", category="")])
    two, one = exports(tables_of(load(output).records), output)
    assert [(run.key, run.which) for run in two] == [
        (records[1]["key"], "mono, seed 1"), (records[0]["key"], "mono, seed 0")
    ]  # fmt: skip
    assert two[0].command == f"workbench export --run {records[1]['key']} --records 'my out' --output model"
    assert [run.which for run in one] == [""]
