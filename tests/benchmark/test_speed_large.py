"""The large fit in files: what a fit in memory selects, also when it was stopped and goes on."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmark import speed_large
from benchmark.speed_large import MadeUpProduct, run_large
from extensions.models.patchcore.coreset import greedy_k_center

SMALL = {"n_pictures": 40, "side": 8, "n_channels": 24}


def test_pictures_do_not_depend_on_the_block_they_are_made_in():
    product = MadeUpProduct(0, side=4, n_channels=8)
    whole = product.pictures(0, 6)
    assert whole.shape == (6 * 16, 8)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(np.concatenate([product.pictures(0, 1), product.pictures(1, 6)]), whole)


def test_the_bank_is_that_of_a_fit_in_memory(tmp_path):
    record = run_large(tmp_path, **SMALL, ratio=0.05, keep=True)
    features = MadeUpProduct(0, side=8, n_channels=24).pictures(0, 40)
    projected = features @ speed_large._projection(len(features), 24, 0).T
    first = int(np.random.default_rng(0).integers(len(features)))
    selected = greedy_k_center(torch.from_numpy(projected), 128, first)
    np.testing.assert_array_equal(np.load(tmp_path / "large-40" / "bank.npy"), features[selected])
    assert record["n_centers"] == 128
    assert record["disk_bytes"] == sum(path.stat().st_size for path in (tmp_path / "large-40").glob("*.f32"))


def test_the_record_tells_time_memory_disk_and_machine_and_the_files_go(tmp_path):
    record = run_large(tmp_path, **SMALL)
    assert json.loads((tmp_path / "large-40.json").read_text()) == record
    assert list(record["seconds"]) == ["features", "projection", "selection", "bank", "total"]
    assert record["n_runs"] == 1
    assert record["anonymous_bytes"] is None or record["anonymous_bytes"] > 0
    assert "cpu" in record["environment"]
    assert [path.name for path in tmp_path.iterdir()] == ["large-40.json"]


@pytest.mark.parametrize("stopped_in", ["features", "projection", "selection"])
def test_a_stopped_run_goes_on_where_it_was(tmp_path, stopped_in, monkeypatch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run_large(whole, **SMALL, keep=True)
    save = speed_large._Work._save
    n_saved = {"features": 2, "projection": 4, "selection": 6}[stopped_in]  # 3 blocks in each of the first two

    def stop(self, stage, done, seconds):
        nonlocal n_saved
        n_saved -= 1
        if n_saved < 0:
            raise KeyboardInterrupt
        save(self, stage, done, seconds)

    monkeypatch.setattr(speed_large._Work, "_save", stop)
    with pytest.raises(KeyboardInterrupt):
        run_large(parts, **SMALL, keep=True)
    state = json.loads((parts / "large-40" / "state.json").read_text())
    assert stopped_in not in state["done"] or state["done"][stopped_in] < 40
    monkeypatch.setattr(speed_large._Work, "_save", save)
    record = run_large(parts, **SMALL, keep=True)
    assert record["n_runs"] == 2
    for name in ("features.f32", "projection.f32", "selection.npy", "bank.npy"):
        assert (parts / "large-40" / name).read_bytes() == (whole / "large-40" / name).read_bytes()


def test_files_of_another_experiment_are_refused(tmp_path):
    run_large(tmp_path, **SMALL, keep=True)
    with pytest.raises(ValueError, match="large-40: the files are of"):
        run_large(tmp_path, **SMALL, seed=1)


def test_too_little_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match=r"large-40: the run needs .* GB more of disk, but 0.0 GB are free"):
        run_large(tmp_path, **SMALL)


def test_the_command_writes_its_record(tmp_path, capsys):
    assert speed_large.main(["--pictures", "1", "--output", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["n_patches"] == 1024
    assert (tmp_path / "large-1.json").exists()
