"""One model for several products: one fit, a run for each product that is tested."""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import torch

from benchmark.api.product_thresholds import product_thresholds
from benchmark.execute.sweep import run_sweep, select
from benchmark.execute.workers import Task, _take
from benchmark.one_run import training
from benchmark.one_run.options import RunOptions
from benchmark.one_run.preparation import prepare
from benchmark.one_run.runner import run_experiment
from benchmark.one_run.shared_fit import Fitted, LastFit, shared_fits
from benchmark.plan.experiment import Experiment
from benchmark.plan.grid import expand
from benchmark.records.archive import load, read_records
from benchmark.tables.leaderboard import build_tables
from benchmark.tables.stored_scores import StoredScores

NAMES = ["cap", "lid"]
QUIET = RunOptions(progress=False)


@pytest.fixture
def config(tiny_root, tmp_path, monkeypatch) -> dict:
    """Two categories: the tiny images, and their mirror images; both trainings."""
    from PIL import Image, ImageOps

    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "products"
    for source in sorted(tiny_root.rglob("*.png")):
        folder = str(source.parent.relative_to(tiny_root)).replace("mask", "ground_truth")
        for name in NAMES:
            target = root / name / folder / source.name
            target.parent.mkdir(parents=True, exist_ok=True)
            image = Image.open(source)
            (
                image
                if name == "cap"
                else ImageOps.flip(ImageOps.invert(image) if "mask" not in str(source) else image)
            ).save(target)
    data = {
        "root": str(root), "name": "parts", "category": "all", "training": {"grid": ["one_for_all", "one_each"]},
        "train_batch_size": 4, "eval_batch_size": 3, "num_workers": 0,
    }  # fmt: skip
    model = {"backbone": "test_resnet", "pre_trained": False, "image_size": 32}
    return {
        "data": [{"class_path": "extensions.MVTecAD", "init_args": data}],
        "models": [
            {"class_path": "extensions.Stfpm", "init_args": model, "trainer": {"max_epochs": 2}},
            {"class_path": "extensions.Padim", "init_args": model | {"n_features": 10}},
        ],
        "seeds": [0, 1],
    }


def planned(experiments: list[Experiment]) -> list[tuple]:
    found = []
    for one in experiments:
        arguments = one.data["init_args"]
        found.append((arguments["category"], arguments.get("test_category"), one.seed, one.model_name))
    return found


def test_a_data_set_of_products_is_a_run_for_each_and_those_of_one_fit_follow_each_other(config):
    found = planned(expand(config))
    assert found[:4] == [("all", "cap", 0, "Stfpm"), ("all", "lid", 0, "Stfpm"), ("all", "cap", 0, "Padim"),
                         ("all", "lid", 0, "Padim")]  # fmt: skip
    assert found[8:10] == [("cap", None, 0, "Stfpm"), ("lid", None, 0, "Stfpm")]
    assert len(found) == 16
    chosen = select(expand(config), {"category": ["lid"], "seed": ["1"]})
    assert [one[:2] for one in planned(chosen)] == [("all", "lid")] * 2 + [("lid", None)] * 2


def test_a_refinement_of_one_model_for_all_is_one_run(config):
    config["refinement"] = [None, {"strategy": "random"}]
    config["models"] = config["models"][1:]
    config["data"][0]["init_args"]["training"] = "one_for_all"
    assert planned(expand(config)) == [("all", None, seed, "Padim") for seed in (0, 0, 1, 1)]


def test_folders_that_are_not_there_are_one_run_that_says_so(config, tmp_path):
    config["data"][0]["init_args"] |= {"root": str(tmp_path / "nowhere"), "training": "one_for_all"}
    (one, *_) = expand(config)
    record = run_experiment(one, tmp_path / "out", options=QUIET)
    assert (record.status, record.dataset.category, record.dataset.training) == ("missing", "all", "one_for_all")


def test_the_products_of_a_model_share_its_fit_and_get_what_they_get_alone(config, tmp_path, monkeypatch):
    fits = []
    fit = training.fit
    monkeypatch.setattr(training, "fit", lambda *given: fits.append(1) or fit(*given))
    config["data"][0]["init_args"]["training"] = "one_for_all"
    config |= {"seeds": [0], "models": config["models"][:1]}
    sweep = expand(config)
    run_sweep(sweep, tmp_path / "sweep", options=QUIET, keep="all")
    assert len(fits) == 1
    shared = {record.key: record for record in read_records(tmp_path / "sweep")}
    assert len(shared) == 2
    for experiment in sweep:
        alone = run_experiment(experiment, tmp_path / "alone", options=QUIET)
        record = shared[alone.key]
        assert record.dataset.products == NAMES
        assert (record.dataset.n_train, record.dataset.n_test_normal) == (16, 4)
        paths = [folder / record.folder for folder in (tmp_path / "sweep", tmp_path / "alone")]
        scores, expected = (pd.read_csv(path / "scores.csv") for path in paths)
        assert scores["score"].to_numpy() == pytest.approx(expected["score"].to_numpy(), rel=1e-5)
        assert record.thresholds.image == pytest.approx(alone.thresholds.image, rel=1e-5)
        assert record.training == alone.training
        kept, again = (torch.load(path / "model.ckpt", weights_only=False)["state_dict"] for path in paths)
        assert kept.keys() == again.keys()
        assert all(torch.allclose(kept[name].float(), again[name].float(), rtol=1e-4, equal_nan=True) for name in kept)
    assert len({record.speed.fit_seconds for record in shared.values()}) == 1
    assert len(fits) == 1 + len(sweep)


@pytest.mark.parametrize("placeholder", ["{category}", "{seed}"])
def test_a_model_that_differs_from_product_to_product_is_no_shared_fit(config, placeholder):
    config["data"][0]["init_args"]["training"] = "one_for_all"
    config |= {"seeds": [0], "models": config["models"][1:]}
    sweep = expand(config)
    sweep = [dataclasses.replace(one, model=with_argument(one.model, note=placeholder)) for one in sweep]
    shared, last = shared_fits(sweep), LastFit()
    cap, lid = map(prepare, sweep)
    fitted = Fitted(None, None, 1.0, None, None)
    last.keep(cap, shared, fitted)
    assert last.take(cap, shared) is fitted
    assert last.take(lid, shared) is (fitted if placeholder == "{seed}" else None)


def with_argument(model: dict, **arguments: str) -> dict:
    return {**model, "init_args": model["init_args"] | arguments}


def test_both_trainings_are_rows_of_one_data_set_compared_on_the_same_images(config, tmp_path):
    config["models"] = config["models"][1:]
    output = tmp_path / "out"
    run_sweep(expand(config), output, options=QUIET, keep="best")
    archive = load(output)
    tables = build_tables(archive.records, archive.plans, stored=StoredScores(output))
    means = tables.leaderboard.set_index("training")
    assert set(means.index) == {"one_for_all", "one_each"}
    assert means["n_categories"].tolist() == [2, 2]
    assert all(f"training={name}" in means.loc[name, "settings"] for name in means.index)
    pairs = tables.differences
    assert len(pairs) > 0
    assert not pairs["note"].fillna("").str.contains("different images").any()
    assert pairs["difference"].notna().all()
    kept = Counter(one.dataset.training for one in archive.records if one.files.checkpoint)
    assert kept == {"one_for_all": 2, "one_each": 2}
    assert len({one.seed for one in archive.records if one.files.checkpoint and one.dataset.products}) == 1


def test_runs_with_augmented_tests_leave_nothing_to_wait_for_when_the_best_fit_is_chosen(config, tmp_path):
    config |= {"models": config["models"][1:], "augmentation": [None, {"name": "flip", "where": "test"}]}
    config["data"][0]["init_args"]["training"] = "one_for_all"
    output = tmp_path / "out"
    run_sweep(expand(config), output, options=QUIET, keep="best")
    kept = [one for one in read_records(output) if one.files.checkpoint]
    assert len(kept) == 2
    assert len({one.seed for one in kept}) == 1


def test_an_export_tells_the_threshold_of_each_product(config, tmp_path):
    config |= {"models": config["models"][1:], "seeds": [0]}
    output = tmp_path / "out"
    run_sweep(expand(config), output, options=QUIET, keep="none")
    records = read_records(output)
    (asked,) = (one for one in records if one.dataset.category == "lid" and one.dataset.products)
    (single,) = (one for one in records if one.dataset.category == "lid" and not one.dataset.products)
    found = product_thresholds(asked, output)
    assert [one.product for one in found] == NAMES
    told = {one.key: one.thresholds.image for one in records}
    assert all(one.threshold == told[one.run_key] for one in found)
    assert len({one.threshold for one in found}) == 2
    assert product_thresholds(single, output) == ()


def test_a_worker_goes_on_with_the_model_it_has(config):
    config["models"] = config["models"][1:]
    tasks = [Task(one, Path(), QUIET, run_experiment) for one in expand(config)]
    first, second = tasks[0], tasks[1]
    assert first.fit == second.fit != tasks[2].fit
    waiting = list(tasks[1:])
    assert _take(waiting, [first.fit]) is tasks[2]
    assert _take(waiting, []) is second
    assert tasks[-1].fit == ""
    assert _take([second], [first.fit]) is None


def test_images_of_another_product_change_the_key_but_not_where_they_lie(config, tmp_path):
    one = expand(config)[0]
    root = Path(one.data["init_args"]["root"])
    key = run_experiment(one, tmp_path / "out", options=QUIET).key
    shutil.copytree(root, tmp_path / "elsewhere")
    moved = dataclasses.replace(
        one, data={**one.data, "init_args": one.data["init_args"] | {"root": str(tmp_path / "elsewhere")}}
    )
    assert run_experiment(moved, tmp_path / "moved", options=QUIET).key == key
    (root / "lid/train/good/000.png").unlink()
    assert run_experiment(one, tmp_path / "fewer", options=QUIET).key != key
