"""A grid of k_shot: one row for each k, seeds as draws, the drawn images in the record."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml

from benchmark.__main__ import main
from benchmark.one_run.options import RunOptions
from benchmark.one_run.runner import run_experiment
from benchmark.plan.experiment import Experiment
from benchmark.plan.grid import expand
from benchmark.records.archive import read_records
from extensions.configuration import ConfigError

MODEL = {"backbone": "test_resnet", "pre_trained": False, "image_size": 64}


@pytest.fixture
def spec(tiny_root):
    def build(**init_args):
        folders = {"normal_dir": "train/good", "normal_test_dir": "test/good", "abnormal_dir": "test/bad"}
        named = {"name": "tiny", "root": str(tiny_root), "mask_dir": "mask/bad", "num_workers": 0}
        return {"class_path": "extensions.Folder", "init_args": folders | named | init_args}

    return build


def test_a_grid_of_k_has_a_row_for_each_over_seeds_that_are_draws(spec, tmp_path: Path):
    model = {"class_path": "extensions.Padim", "init_args": MODEL | {"n_features": 10}}
    sweep = {"name": "few", "models": [model], "data": [spec(k_shot={"grid": [2, 4, None]})], "seeds": [0, 1, 2]}
    (tmp_path / "few.yaml").write_text(yaml.safe_dump(sweep))
    output = tmp_path / "out"
    assert main(["run", "--config", str(tmp_path / "few.yaml"), "--output", str(output)]) == 0
    table = pd.read_csv(output / "leaderboard.csv", dtype={"k_shot": "Int64"})
    rows = table[table.category == "mean"].sort_values("k_shot", na_position="last")
    assert rows.k_shot.tolist() == [2, 4, pd.NA]
    assert rows.n_seeds.tolist() == [3, 3, 3]
    assert rows.image_AUROC_std.notna().all()
    assert [settings.partition("k_shot")[2] for settings in rows.settings] == ["=2", "=4", ""]
    assert sorted(rows["rank"]) == [1, 2, 3]
    records = list(read_records(output))
    assert len({record.key for record in records}) == 9
    drawn = {(r.dataset.k_shot, r.experiment.seed): r.dataset.k_shot_images for r in records}
    for seed in range(3):
        assert set(drawn[2, seed]) < set(drawn[4, seed])
        assert drawn[None, seed] == []
    assert len({tuple(drawn[2, seed]) for seed in range(3)}) == 3
    assert all(name.startswith("train/good/") for name in drawn[2, 0])
    tested = [(record.dataset.n_test_normal, record.dataset.n_test_anomalous) for record in records]
    assert set(tested) == {(4, 4)}
    assert {r.dataset.n_train for r in records} == {2, 4, 8}


def test_detectors_run_on_two_images_and_say_when_one_is_too_few(spec, tmp_path: Path):
    patchcore = {"class_path": "extensions.Patchcore", "init_args": MODEL | {"coreset_sampling_ratio": 0.01}}
    padim = {"class_path": "extensions.Padim", "init_args": MODEL | {"n_features": 30}}
    patchcore["init_args"] |= {"image_size": 128, "num_neighbors": 3}

    def run(model, k):
        experiment = Experiment(model=model, data=spec(k_shot=k))
        return run_experiment(experiment, tmp_path / "out", options=RunOptions(progress=False))

    for model in (patchcore, padim):
        record = run(model, 2)
        assert record.status == "finished", record.error
        assert 0 <= record.metrics["image_AUROC"] <= 1
    assert "at least 2 training images to estimate a covariance, found 1" in run(padim, 1).error.message
    assert "fewer than num_neighbors=3: raise the ratio" in run(patchcore, 1).error.message
    record = run(padim, 9)
    assert record.status == "failed"
    assert "k_shot is 9, but data set 'tiny' has 8 training images" in record.error.message
    assert record.dataset.k_shot == 9
    assert record in list(read_records(tmp_path / "out"))


def test_a_model_may_bring_its_own_seeds(spec):
    padim, stfpm = ({"class_path": f"extensions.{name}", "init_args": MODEL} for name in ("Padim", "Stfpm"))
    config = {"models": [padim | {"seeds": [0, 5]}, stfpm], "data": [spec()], "seeds": [0, 1]}
    planned = [(one.model_name, one.seed) for one in expand(config)]
    assert planned == [("Padim", 0), ("Stfpm", 0), ("Padim", 5), ("Stfpm", 1)]
    with pytest.raises(ConfigError, match=r"seeds: found 3, expected a list of whole numbers"):
        expand(config | {"models": [padim | {"seeds": 3}]})
