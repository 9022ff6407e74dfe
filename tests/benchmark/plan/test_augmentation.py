"""Runs with augmented images: their identity, their records, and that no cache gives them another's features."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from benchmark.__main__ import main
from benchmark.api.interactive import record_run
from benchmark.api.output_tables import read_leaderboard
from benchmark.execute.sweep import run_sweep
from benchmark.one_run import training
from benchmark.one_run.options import RunOptions
from benchmark.one_run.runner import run_experiment
from benchmark.one_run.shared_fit import shared_fits
from benchmark.plan.augmentation import without_augmentation
from benchmark.plan.experiment import Experiment
from benchmark.plan.grid import expand
from benchmark.records.archive import read_records
from benchmark.records.record import Record
from extensions.backbones.frozen import FrozenFeatureExtractor
from extensions.configuration import ConfigError

TURNED = {"name": "rotation", "where": "train"}
SEEN = {"name": "flip", "where": "tta", "n_views": 3}


@pytest.fixture
def one(tiny_root, tmp_path, monkeypatch) -> Experiment:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    data = {
        "name": "tiny", "root": str(tiny_root), "normal_dir": "train/good", "normal_test_dir": "test/good",
        "abnormal_dir": "test/bad", "mask_dir": "mask/bad", "train_batch_size": 4, "eval_batch_size": 3,
        "num_workers": 0,
    }  # fmt: skip
    model = {"backbone": "test_resnet", "pre_trained": False, "image_size": 32, "n_features": 10}
    return Experiment(
        model={"class_path": "extensions.Padim", "init_args": model},
        data={"class_path": "extensions.Folder", "init_args": data},
        seed=1,
    )


def augmented(one: Experiment, section) -> Experiment:
    return dataclasses.replace(one, augmentation=section)


def finish(one: Experiment, output: Path, **options) -> tuple[Record, np.ndarray]:
    record = run_experiment(one, output, options=RunOptions(progress=False, **options))
    assert record.status == "finished", record.error.traceback
    return record, pd.read_csv(output / record.folder / "scores.csv")["score"].to_numpy()


def test_without_augmentation_the_identity_is_what_it_was(one):
    assert "augmentation" not in one.canonical
    for nothing in (None, [], [None], {"name": "identity", "where": "tta"}, [{"name": "identity"}, None]):
        assert augmented(one, nothing).experiment_id == one.experiment_id


def test_an_augmentation_is_part_of_the_identity_and_of_the_settings(one):
    sections = [
        TURNED,
        SEEN,
        [TURNED, SEEN],
        {**SEEN, "n_views": 4},
        {**SEEN, "merge": "max"},
        {**TURNED, "where": "both"},
    ]
    assert len({augmented(one, section).experiment_id for section in [None, *sections]}) == 1 + len(sections)
    assert augmented(one, [SEEN, TURNED]).experiment_id == augmented(one, [TURNED, SEEN]).experiment_id
    unused = augmented(one, {**TURNED, "n_views": 5, "merge": "max"})
    assert unused.experiment_id == augmented(one, TURNED).experiment_id
    assert "augmentation=rotation (train) + flip (tta, 3 views, mean)" in augmented(one, [SEEN, TURNED]).settings


def test_a_grid_of_names_and_places_runs_the_identity_once(one):
    config = {"models": [one.model], "data": [one.data], "seeds": [0, 1]}
    config["augmentation"] = {"name": {"grid": ["identity", "flip"]}, "where": {"grid": ["train", "test", "tta"]}}
    found = expand(config)
    assert [experiment.seed for experiment in found] == [0] * 4 + [1] * 4
    assert [len(experiment.augmentations) for experiment in found[:4]] == [0, 1, 1, 1]
    both = {**config, "augmentation": [None, SEEN, [TURNED, {**SEEN, "n_views": {"grid": [2, 3]}}]]}
    assert [len(experiment.augmentations) for experiment in expand(both)[:4]] == [0, 1, 2, 2]


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"name": "flop", "where": "tta"}, r"there is no 'flop'; did you mean flip\? \(known: autocontrast,"),
        ({"name": "flip", "where": "training"}, r"where: there is no 'training'.*known: both, test, train, tta"),
        ({"name": "flip", "views": 3}, r"there is no key 'views'; did you mean n_views"),
        ({"where": "tta"}, "expected 'name: one of identity"),
        ([[TURNED, {"name": "flip", "where": "both"}]], "are both for training images, expected one"),
        ("flip", "augmentation: found 'flip', expected such as"),
        (["flip"], "augmentation: found"),
        ({**SEEN, "n_views": {"grid": [4, 0]}}, "n_views: found 0, expected a whole number from 2"),
    ],
)
def test_a_wrong_section_is_one_sentence_before_anything_runs(section, sentence, one):
    with pytest.raises(ConfigError, match=sentence):
        expand({"models": [one.model], "data": [one.data], "augmentation": section})


@pytest.mark.parametrize("section", [{**TURNED, "where": "test"}, [TURNED, SEEN]])
def test_results_are_the_same_without_a_cache_and_beside_plain_runs(section, one, tmp_path, monkeypatch):
    plain, of_plain = finish(one, tmp_path / "shared")
    record, found = finish(augmented(one, section), tmp_path / "shared")
    assert finish(augmented(one, section), tmp_path / "again")[1] == pytest.approx(found, rel=1e-5)
    monkeypatch.setenv("WORKBENCH_CACHE_LIMIT", "0")
    alone, expected = finish(augmented(one, section), tmp_path / "alone")
    assert found == pytest.approx(expected, rel=1e-4)
    assert found != pytest.approx(of_plain, rel=1e-3)
    assert alone.metrics["pixel_AUROC"] == pytest.approx(record.metrics["pixel_AUROC"], abs=1e-4)
    assert record.key != plain.key


def test_augmented_images_are_never_kept_and_those_before_them_are(one, tmp_path, monkeypatch):
    finish(one, tmp_path / "out")
    seen = []
    compute = FrozenFeatureExtractor.compute
    monkeypatch.setattr(
        FrozenFeatureExtractor, "compute", lambda self, images: seen.append(len(images)) or compute(self, images)
    )
    features = tmp_path / "cache" / "work" / "features"
    before = sum(1 for _ in features.rglob("*"))
    record, _ = finish(augmented(one, [TURNED, SEEN]), tmp_path / "out")
    assert sum(1 for _ in features.rglob("*")) == before > 0
    assert record.reused.train.on_disk() == {"images": 8, "features": 0, "of": 8}
    assert record.reused.test.on_disk() == {"images": 8, "features": 0, "of": 8}
    timed = 3 * (record.speed.latency_n + 2)
    assert sum(seen) - timed == 8 + 3 * 8
    seen.clear()
    partly, _ = finish(augmented(one, SEEN), tmp_path / "out")
    assert partly.reused.train.features == 8


def test_runs_that_differ_in_their_test_share_a_fit_and_give_what_they_give_alone(one, tmp_path, monkeypatch):
    fits = []
    fit = training.fit
    monkeypatch.setattr(training, "fit", lambda *arguments: fits.append(1) or fit(*arguments))
    arguments = {k: v for k, v in one.model["init_args"].items() if k != "n_features"}
    model = {"class_path": "extensions.Stfpm", "init_args": arguments}
    base = dataclasses.replace(one, model=model, trainer={"max_epochs": 2})
    sweep = [augmented(base, section) for section in (None, SEEN, TURNED, {**TURNED, "where": "both"})]
    run_sweep(sweep, tmp_path / "sweep", options=RunOptions(progress=False), keep="all")
    assert len(fits) == 2
    together = {record.key: record for record in read_records(tmp_path / "sweep")}
    for experiment in sweep:
        record, alone = finish(experiment, tmp_path / "alone")
        shared = together[record.key]
        folder = tmp_path / "sweep" / shared.folder
        assert pd.read_csv(folder / "scores.csv")["score"].to_numpy() == pytest.approx(alone, rel=1e-5)
        assert shared.training == record.training
        assert shared.speed.fit_seconds > 0
        assert (folder / "model.ckpt").exists() == (not any(part.in_test for part in experiment.augmentations))
    assert len(fits) == 2 + len(sweep)


def test_another_seed_or_data_set_shares_no_fit(one):
    def ids(*others):
        return shared_fits([augmented(e, section) for e in (one, *others) for section in (None, SEEN)])

    assert len(ids(dataclasses.replace(one, seed=2))) == 2
    refined = dataclasses.replace(one, refinement={"strategy": "random"})
    assert ids(refined) == ids() == (one.experiment_id,)


def test_thresholds_of_augmented_tests_go_into_no_checkpoint(one, tmp_path):
    assert finish(augmented(one, TURNED), tmp_path, keep_checkpoint=True)[0].files.checkpoint == "model.ckpt"
    assert finish(augmented(one, SEEN), tmp_path, keep_checkpoint=True)[0].files.checkpoint is None


def test_panels_are_drawn_of_images_as_they_are(one, tmp_path):
    assert finish(augmented(one, SEEN), tmp_path, images=1)[0].files.images
    assert not finish(augmented(one, {**TURNED, "where": "test"}), tmp_path, images=1)[0].files.images


def test_a_callback_of_the_command_line_becomes_a_section_of_its_record(one, tmp_path):
    callback = {"class_path": "extensions.Augmentation", "init_args": {"name": "flip", "where": "tta", "n_views": 3}}
    config = {"model": one.model, "data": one.data, "seed_everything": 1, "trainer": {"callbacks": [callback]}}
    assert record_run(config, tmp_path).key == finish(augmented(one, SEEN), tmp_path)[0].key
    with pytest.raises(ConfigError, match="remove their own 'seed'"):
        without_augmentation({"callbacks": [{**callback, "init_args": {"name": "flip", "seed": 3}}]})
    other = {"class_path": "lightning.pytorch.callbacks.Timer"}
    assert without_augmentation({"max_epochs": 2, "callbacks": [other]}) == (
        {"max_epochs": 2, "callbacks": [other]},
        None,
    )
    with pytest.raises(ConfigError, match="stands under 'augmentation:'"):
        expand({"models": [one.model], "data": [one.data], "trainer": {"callbacks": [callback]}})


def test_a_sweep_with_augmentations_leaves_its_sheet(tiny_config, tmp_path, capsys):
    path = tiny_config(2, augmentation=[None, SEEN])
    assert yaml.safe_load(path.read_text())["augmentation"]
    assert main(["run", "--config", str(path), "--output", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    last = said.out.splitlines()[-1]
    assert last.startswith(f"4 runs finished, 0 failed: open {tmp_path / 'out' / 'leaderboard.xlsx'}; next: ")
    key = shlex.split(last)[shlex.split(last).index("--run") + 1]
    best = read_leaderboard(tmp_path / "out").sort_values("rank").iloc[0]
    assert key in best["run_keys"].split(";")
    assert "\r" not in said.out + said.err
    assert sum(line.startswith("finished ") for line in said.out.splitlines()) == 4
    assert (tmp_path / "out" / "augmentation_image_AUROC.png").exists()
    assert "Augmentation" in (tmp_path / "out" / "leaderboard.html").read_text()
