"""The speed table: every row in a tiny version, what is extrapolated, and that different results are no speed."""

import itertools
import json
import math
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from benchmark.__main__ import main
from benchmark.speed import ROWS, Settings, all_rows, growth, run_speed, stock_benchmark, time_coreset, timing
from benchmark.speed.bench import Bench
from benchmark.speed.coreset import capped_sampler, project
from benchmark.speed.features import made_up_embedding
from benchmark.speed.limits import copy_speed
from benchmark.speed.pixel_metrics import made_up_maps, our_metrics, stock_metrics
from benchmark.speed.settings import asked_settings
from benchmark.speed.speed_table import readme_table
from benchmark.speed.timing import COLUMNS, Measurement, largest_difference, not_alike, take_turns
from extensions import Folder

TINY = Settings(
    backbone="test_resnet", pre_trained=False, image_size=64, large_side=96, n_workers=0, rounds=1, n_centers=3,
    ratio=0.05, large_ratio=0.1, n_features=(12,), num_neighbors=(9,), ratios=(0.02, 0.03), n_maps=8,
    map_side=32, n_many_maps=16, bank_size=10,
)  # fmt: skip
# Rows of training have a file of their own.
IN_THIS_PROCESS = [name for name in ROWS if name not in ("grid", "shared_work") and "_training" not in name]


@pytest.fixture(scope="module")
def source(tiny_root) -> Folder:
    return Folder(
        name="tiny", root=tiny_root, normal_dir="train/good", normal_test_dir="test/good", abnormal_dir="test/bad",
        mask_dir="mask/bad", num_workers=0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def bench(source, tmp_path_factory) -> Bench:
    return Bench(TINY, source, tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def measured(source, tmp_path_factory) -> tuple[Path, pd.DataFrame]:
    output = tmp_path_factory.mktemp("speed")
    return output, run_speed(output, rows=IN_THIS_PROCESS, settings=TINY, source=source)


@pytest.mark.parametrize("name", IN_THIS_PROCESS)
def test_every_row_runs_and_its_sides_agree(measured, name) -> None:
    _, frame = measured
    row = frame.set_index("row").loc[name]
    assert row["error"] is None, row["error"]
    assert row["ours_seconds"] > 0
    assert row["reference_seconds"] > 0
    times = (row["ours_seconds"], row["reference_seconds"])
    assert row["ratio"] == pytest.approx(times[0] / times[1] if row["at_most"] else times[1] / times[0])
    assert row["data"]
    if name.startswith("growth"):
        assert row["agree"] is None
    else:
        assert row["agree"]
        assert row["limit_seconds"] > 0
        assert any(limit in row["limit"] for limit in ("decode", "bare network", "memory bandwidth"))


@pytest.fixture
def one_process(monkeypatch) -> None:
    """The commands that rows start run in this process, without the seconds a new one needs to import everything."""

    def run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
        monkeypatch.chdir(folder)
        if command[0] == "benchmark":
            assert main(command[1:]) == 0
        else:
            stock_benchmark.main(Path(command[1]))

    monkeypatch.setattr(all_rows.whole_sweep, "run_module", run)
    monkeypatch.setattr("anomalib.pipelines.components.base.pipeline.redirect_logs", lambda _: None)


@pytest.mark.parametrize("name", ["grid", "shared_work"])
def test_rows_of_whole_sweeps_run_and_agree(bench, one_process, name) -> None:
    record = all_rows.measure(name, bench)
    assert record["error"] is None, record.get("traceback")
    assert record["agree"]
    assert record["extrapolated"] == (name == "grid")


def test_a_command_that_fails_is_told_by_its_last_line(tmp_path) -> None:
    with pytest.raises(RuntimeError, match=r"benchmark ended with exit code 1: error: none.yaml: no such"):
        all_rows.whole_sweep.run_module(["benchmark", "run", "--config", "none.yaml"], tmp_path, dict(os.environ))


def test_results_hold_every_row_with_the_machine(measured) -> None:
    output, frame = measured
    content = json.loads((output / "speed.json").read_text())
    assert [row["row"] for row in content["rows"]] == IN_THIS_PROCESS == frame["row"].tolist()
    assert set(COLUMNS) | {"measured", "environment", "limits", "seconds", "key"} <= set(content["rows"][0])
    assert {"cpu", "n_cores", "torch", "anomalib"} <= set(content["environment"])
    assert pd.read_csv(output / "speed.csv").columns.tolist() == list(COLUMNS)
    assert (output / "speed.png").stat().st_size > 1000
    table = readme_table(content)
    assert table.count("\n| ") >= len(IN_THIS_PROCESS)
    assert str(output) not in json.dumps(content)


def test_measured_rows_are_found_again_and_others_are_not(measured, source, monkeypatch) -> None:
    output, _ = measured
    done: list[str] = []
    monkeypatch.setitem(all_rows.ROWS, "metrics", lambda bench: done.append("metrics"))
    assert len(run_speed(output, rows=["metrics"], settings=TINY, source=source)) == len(IN_THIS_PROCESS)
    assert not done
    path = output / "rows" / "metrics.json"
    kept = path.read_text()
    try:
        run_speed(output, rows=["metrics"], settings=replace(TINY, n_maps=9), source=source)
        assert done == ["metrics"]  # it gives None, which is a failure
        run_speed(output, rows=["metrics"], settings=replace(TINY, n_maps=9), source=source)
        assert done == ["metrics"] * 2
        path.write_text(kept)
        monkeypatch.setattr(all_rows, "code_version", lambda: "changed")
        frame = run_speed(output, rows=["metrics"], settings=TINY, source=source)
        assert done == ["metrics"] * 3
        assert len(frame) == len(IN_THIS_PROCESS)  # of the code before
    finally:
        path.write_text(kept)


def test_an_interrupt_keeps_the_finished_rows(tmp_path, source, monkeypatch) -> None:
    def interrupt(bench) -> Measurement:
        raise KeyboardInterrupt

    monkeypatch.setitem(all_rows.ROWS, "coreset", lambda bench: Measurement("work", "data", 2.0, 1.0))
    monkeypatch.setitem(all_rows.ROWS, "coreset_large", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_speed(tmp_path, rows=["coreset", "coreset_large"], settings=TINY, source=source)
    assert pd.read_csv(tmp_path / "speed.csv")["row"].tolist() == ["coreset"]


def test_a_failed_row_is_an_error_in_the_table_and_the_others_are_measured(tmp_path, source, monkeypatch) -> None:
    def fail(bench) -> Measurement:
        msg = "no such thing"
        raise ValueError(msg)

    monkeypatch.setitem(all_rows.ROWS, "coreset", fail)
    monkeypatch.setitem(all_rows.ROWS, "metrics", lambda bench: Measurement("work", "data", 2.0, 1.0, bound=3))
    frame = run_speed(tmp_path, rows=["coreset", "metrics"], settings=TINY, source=source).set_index("row")
    assert "ValueError: no such thing" in frame.loc["coreset", "error"]
    assert frame.loc["metrics", "ratio"] == 2
    assert not frame.loc["metrics", "reached"]
    assert "failed: ValueError" in readme_table(json.loads((tmp_path / "speed.json").read_text()))


@pytest.mark.parametrize("difference", [2e-4, math.inf, math.nan])
def test_sides_that_disagree_are_an_error_and_reach_no_bound(difference) -> None:
    record = Measurement("work", "data", 100.0, 1.0, bound=20, agreement="metrics", difference=difference).record()
    assert record["agree"] is False
    assert record["reached"] is False
    assert "the results differ: metrics" in record["error"]


def test_a_sampler_that_selects_others_is_caught(bench, monkeypatch) -> None:
    whole = all_rows.coreset._ours
    monkeypatch.setattr(all_rows.coreset, "_ours", lambda *given: (whole(*given)[0][::-1], 1.0))
    record = all_rows.measure("coreset", bench)
    assert record["agree"] is False
    assert "the results differ" in record["error"]


def test_missing_and_broken_numbers_are_the_largest_difference() -> None:
    assert largest_difference({"a": 0.5, "b": None}, {"a": 0.25, "b": None}) == 0.25
    assert largest_difference({"a": 0.5}, {"a": None}) == math.inf
    assert largest_difference({"a": 0.5}, {"b": 0.5}) == math.inf
    assert largest_difference({"a": math.nan}, {"a": 0.5}) == math.inf


def test_a_row_names_the_numbers_that_differ() -> None:
    assert not_alike({"a": 0.5, "b": None}, {"a": 0.50001, "b": None}) == ""
    assert (
        not_alike({"a": 0.5, "b": 0.1}, {"a": 0.4}) == "; 2 differ: a: ours 0.5, theirs 0.4, b: ours 0.1, theirs None"
    )


def test_growth_is_that_of_the_costlier_doubling_in_the_fastest_rounds() -> None:
    seconds = [[1.0, 9.0], [1.5, 1.4], [9.0, 4.2]]
    record = growth._measurement("work", "data", [5, 10, 20], seconds, bound=2).record()
    assert record["ratio"] == pytest.approx(3)
    assert (record["reference_seconds"], record["ours_seconds"]) == (1.4, 4.2)
    assert record["reached"] is False


def test_stock_timed_for_some_centers_is_scaled_to_all() -> None:
    features = project(made_up_embedding(4, side=8, n_channels=32))
    timing = time_coreset(features, 11, n_stock=6, rounds=1)
    assert timing["stock_seconds"] == pytest.approx(2 * timing["stock_measured"][0])
    assert timing["n_different"] == 0
    with pytest.raises(ValueError, match="expected at least 2"):
        time_coreset(features, 11, n_stock=1, rounds=1)


def test_measuring_leaves_the_random_state_alone() -> None:
    features = project(made_up_embedding(2, side=8, n_channels=16))
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    project(features)
    time_coreset(features, 5, n_stock=3, rounds=1)
    assert torch.equal(torch.rand(3), expected)


def test_a_capped_sampler_gives_the_patches_of_the_whole_one() -> None:
    from anomalib.models.components import KCenterGreedy

    embedding = made_up_embedding(3, side=8, n_channels=16)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - the state that stock draws from
    expected = KCenterGreedy(embedding, 0.1).select_coreset_idxs()
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    with capped_sampler(4) as log:
        found = KCenterGreedy(embedding, 0.1).select_coreset_idxs()
    assert found == expected
    assert (log[0]["n_measured"], log[0]["n_centers"], log[0]["n_different"]) == (4, 19, 0)
    assert log[0]["all_s"] > log[0]["measured_s"] * 0.99


def test_made_up_features_have_the_asked_shape_and_repeat_by_seed() -> None:
    embedding = made_up_embedding(4, side=16, n_channels=32)
    assert embedding.shape == (4 * 16 * 16, 32)
    assert embedding.dtype == torch.float32
    assert (embedding >= 0).all()
    assert torch.equal(embedding, made_up_embedding(4, side=16, n_channels=32))
    assert not torch.equal(embedding, made_up_embedding(4, side=16, n_channels=32, seed=1))


def test_made_up_maps_stay_below_one_where_stock_applies_no_sigmoid() -> None:
    maps, masks = made_up_maps(6, 32)
    assert 0 <= maps.min() < maps.max() < 1
    assert masks.any(axis=(1, 2)).tolist() == [False, True] * 3
    assert largest_difference(our_metrics(maps, masks), stock_metrics(maps, masks)) < 1e-4


def test_copies_have_the_layout_both_sides_read(bench) -> None:
    large, (n_train, n_test) = bench.large, (8, 8)
    assert (len(large.train), len(large.test)) == (n_train, n_test)
    assert large.description == "tiny, enlarged: 8 + 8 images of 96 x 96 px"
    for datamodule in (large.datamodule(0), large.stock_datamodule(0)):
        datamodule.setup()
        assert len(datamodule.train_data) == n_train
        labels = datamodule.test_data.samples["label_index"]
        assert sorted(labels) == [0] * 4 + [1] * 4
        assert tuple(datamodule.test_data[0].image.shape) == (3, 96, 96)


def test_no_further_round_is_begun_when_patience_would_end() -> None:
    assert len(take_turns(lambda: 1, lambda: 2, rounds=3).ours) == 3
    turns = take_turns(lambda: 1, lambda: 2, rounds=3, patience=0)
    assert (len(turns.ours), len(turns.reference)) == (3, 1)
    assert (turns.ours_result, turns.reference_result) == (1, 2)


def test_a_copied_byte_is_one_read_and_one_written(monkeypatch) -> None:
    clock = itertools.count(step=0.5)  # s: each copy takes half a second
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert copy_speed(10**6) == pytest.approx(2 * 10**6 / 0.5 / 1e9)


def test_full_measures_all_centers_and_an_unknown_word_is_refused(monkeypatch) -> None:
    assert asked_settings() == Settings()
    monkeypatch.setenv("SPEED", "full")
    assert asked_settings() == Settings(n_centers=None)
    monkeypatch.setenv("SPEED", "fast")
    with pytest.raises(ValueError, match="SPEED is 'fast'"):
        asked_settings()


def test_unknown_rows_and_missing_bottles_are_refused_by_name(tmp_path, source) -> None:
    with pytest.raises(ValueError, match="no row 'gird'; expected some of patchcore_fit"):
        run_speed(tmp_path, rows=["gird"], settings=TINY, source=source)
    with pytest.raises(FileNotFoundError, match="expected MVTec AD's bottle there"):
        run_speed(tmp_path, data_root=tmp_path)
