"""Thresholds of a run: from images of their own, from training images in folds, and for another requirement."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from benchmark.one_run.options import RunOptions
from benchmark.one_run.runner import run_experiment
from benchmark.plan.experiment import Experiment
from benchmark.records.packed import read_calibration, read_scores
from benchmark.records.record import Record
from benchmark.records.store import Store
from benchmark.statistics.requirement import Requirement
from benchmark.statistics.thresholds import fit_thresholds

MODEL = {
    "class_path": "extensions.Padim",
    "init_args": {"backbone": "test_resnet", "pre_trained": False, "image_size": 64, "n_features": 10},
}


@pytest.fixture(scope="module")
def root(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny images, with five more for thresholds: three good and two with a defect of a kind of its own."""
    root = tmp_path_factory.mktemp("line") / "tiny"
    shutil.copytree(tiny_root, root)
    rng = np.random.default_rng(7)
    for folder, n_images in (("good", 3), ("dent", 2)):
        (root / "limits" / folder).mkdir(parents=True)
        for index in range(n_images):
            pixels = rng.integers(60, 200, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / "limits" / folder / f"{index}.png")
    return root


def experiment(root: Path, **arguments: object) -> Experiment:
    folders = {
        "name": "tiny", "root": str(root), "normal_dir": "train/good", "normal_test_dir": "test/good",
        "abnormal_dir": "test/bad", "train_batch_size": 4, "eval_batch_size": 3, "num_workers": 0,
    }  # fmt: skip
    return Experiment(MODEL, {"class_path": "extensions.Folder", "init_args": folders | arguments}, seed=3)


def run(one: Experiment, output: Path, requirement: Requirement | None = None) -> Record:
    record = run_experiment(one, output, options=RunOptions(progress=False, requirement=requirement))
    assert record is not None
    assert record.status == "finished", record.error
    return record


def threshold_of(output: Path, record: Record) -> float:
    stored = torch.load(output / record.folder / "model.ckpt", weights_only=False)
    return float(stored["state_dict"]["post_processor._image_threshold"])


@pytest.fixture(scope="module")
def plain(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    output = tmp_path_factory.mktemp("plain")
    return output, run(experiment(root), output)


def test_calibration_images_set_the_threshold_and_change_no_score(root, plain, tmp_path):
    half = Requirement(max_false_alarms=0.5)
    record = run(experiment(root, calibration_dir="limits"), tmp_path, half)
    found = read_calibration(tmp_path, record)
    assert found is not None
    assert sorted(zip(found.image, found.label, found.kind, strict=True)) == [
        *(("limits/dent/0.png", 1, "dent"), ("limits/dent/1.png", 1, "dent")),
        *((f"limits/good/{index}.png", 0, "good") for index in range(3)),
    ]
    fitted = fit_thresholds(found.label.to_numpy(), found.score.to_numpy(), half)
    assert record.thresholds.image == fitted.lower == pytest.approx(threshold_of(tmp_path, record))
    assert "3 good and 2 defective calibration images" in record.thresholds.source
    assert record.thresholds.requirement == {"max_false_alarms": 0.5}
    output, before = plain
    pd.testing.assert_frame_equal(read_scores(tmp_path, record), read_scores(output, before))
    assert record.metrics == before.metrics
    assert record.dataset.calibration_kinds == {"dent": 2, "good": 3}
    assert record.key != before.key


def test_calibration_images_are_scored_as_test_images_are(root, tmp_path):
    record = run(experiment(root, calibration_dir="limits"), tmp_path / "one")
    tested = run(experiment(root, abnormal_dir="limits/dent"), tmp_path / "two")
    calibration = read_calibration(tmp_path / "one", record).set_index("image")["score"]
    scores = read_scores(tmp_path / "two", tested).set_index("image")["score"]
    for name in ("limits/dent/0.png", "limits/dent/1.png"):
        assert calibration[name] == pytest.approx(scores[name], rel=1e-5)


def test_each_training_image_is_scored_by_a_model_that_did_not_see_it(root, plain, tmp_path):
    record = run(experiment(root), tmp_path / "run", Requirement(max_false_alarms=0.2, cross_conformal=2))
    found = read_calibration(tmp_path / "run", record)
    assert found is not None
    assert sorted(found.fold) == [0] * 4 + [1] * 4
    held_out, apart = found[found.fold == 0], tmp_path / "apart"
    for row in found.itertuples():
        place = apart / ("test" if row.fold == 0 else "train") / Path(row.image).name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / row.image, place)
    other = run(
        experiment(apart, normal_dir="train", normal_test_dir="test", abnormal_dir=str(root / "test/bad")),
        tmp_path / "other",
    )
    scores = read_scores(tmp_path / "other", other).set_index("image")["score"]
    for row in held_out.itertuples():
        assert row.score == pytest.approx(scores[f"test/{Path(row.image).name}"], rel=1e-5)
    assert record.thresholds.source == (
        "cross-conformal in 2 folds: at most 20 % false alarms, on 8 good training images"
    )
    assert record.thresholds.image == fit_thresholds(np.zeros(8), found.score, Requirement(max_false_alarms=0.2)).lower
    assert record.metrics == plain[1].metrics
    assert record.key == plain[1].key


def test_another_requirement_changes_thresholds_alone_and_runs_nothing(root, plain, tmp_path):
    output = tmp_path / "copy"
    shutil.copytree(plain[0], output)
    before = plain[1]
    band = Requirement(max_missed=0.2, max_false_alarms=0.2)

    after = run(experiment(root), output, band)

    scores = read_scores(output, after)
    fitted = fit_thresholds(scores.label.to_numpy(), scores.score.to_numpy(), band)
    assert after.started == before.started
    assert after.metrics == before.metrics
    assert after.thresholds.image == fitted.lower
    assert after.thresholds.requirement == {"max_missed": 0.2, "max_false_alarms": 0.2}
    assert after.thresholds.pixel == before.thresholds.pixel
    assert threshold_of(output, after) == pytest.approx(fitted.lower)
    assert Store(output).read(after.folder) == after
    again = run(experiment(root), output)
    assert again.thresholds.on_disk() == before.thresholds.on_disk()
    assert threshold_of(output, again) == pytest.approx(before.thresholds.image)


def test_a_requirement_that_needs_folds_runs_again_what_has_none(root, plain, tmp_path):
    output = tmp_path / "copy"
    shutil.copytree(plain[0], output)
    crossed = Requirement(max_false_alarms=0.2, cross_conformal=4)

    first = run(experiment(root), output, crossed)
    stricter = run(experiment(root), output, replace(crossed, max_false_alarms=0.3))

    assert first.files.calibration == "calibration.csv"
    assert stricter.seconds == first.seconds
    assert stricter.thresholds.source.startswith("cross-conformal in 4 folds: at most 30 %")


def test_more_folds_than_training_images_are_one_sentence(root, tmp_path):
    asked = RunOptions(progress=False, requirement=Requirement(max_false_alarms=0.2, cross_conformal=9))
    record = run_experiment(experiment(root), tmp_path, options=asked)
    assert record.error.message == (
        "requirement: cross_conformal is 9, but data set 'tiny' has 8 training images that differ; expected 2 to 8"
    )


@pytest.mark.parametrize(
    ("folder", "asked", "lacking"),
    [("dent", Requirement(max_false_alarms=0.1), "good"), ("good", Requirement(max_missed=0.1), "defective"),
     ("dent", None, "good")],
)  # fmt: skip
def test_images_of_calibration_dir_that_allow_no_threshold_are_refused_before_the_fit(
    root, tmp_path, folder, asked, lacking
):
    there = tmp_path / "tiny"
    shutil.copytree(root, there)
    for other in (there / "limits").iterdir():
        if other.name != folder:
            shutil.rmtree(other)
    options = RunOptions(progress=False, requirement=asked)
    record = run_experiment(experiment(there, calibration_dir="limits"), tmp_path / "output", options=options)
    assert record is not None
    assert record.error is not None
    assert f"no {lacking} images in calibration_dir" in record.error.message


def test_known_defects_train_every_fold_and_are_scored_by_none(root, tmp_path):
    known = {"mask_dir": "mask/bad", "known_defects": 2}
    arguments = {"layers": ["layer1"], "pre_trained": False, "image_size": 64}
    network = {"class_path": "extensions.Cdo", "init_args": arguments}
    one = replace(experiment(root, **known), model=network, trainer={"max_epochs": 1})
    record = run(one, tmp_path, Requirement(max_false_alarms=0.2, cross_conformal=2))
    scores = read_calibration(tmp_path, record)
    assert len(scores) == 8
    assert set(scores["label"]) == {0}
