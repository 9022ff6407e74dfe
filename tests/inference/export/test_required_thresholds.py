"""Thresholds of a run's requirement in its export, and those that `export --requirement` fits anew."""

import json
import os
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from benchmark.api.found_run import find_beside, find_run
from benchmark.one_run.options import RunOptions
from benchmark.one_run.runner import run_experiment
from benchmark.plan.experiment import Experiment
from benchmark.records.packed import read_scores
from benchmark.statistics.requirement import Requirement
from benchmark.statistics.thresholds import fit_thresholds
from inference.__main__ import main

BAND = Requirement(max_missed=0.3, max_false_alarms=0.25)


@pytest.fixture(scope="module")
def experiment(tiny_root):
    data = {
        "name": "tiny", "root": str(tiny_root), "normal_dir": "train/good", "normal_test_dir": "test/good",
        "abnormal_dir": "test/bad", "train_batch_size": 4, "num_workers": 0,
    }  # fmt: skip
    model = {"backbone": "test_resnet", "pre_trained": False, "image_size": 48, "n_features": 10}
    return Experiment(
        model={"class_path": "extensions.Padim", "init_args": model},
        data={"class_path": "extensions.Folder", "init_args": data},
        seed=1,
    )


@pytest.fixture(scope="module")
def run(experiment, tmp_path_factory):
    """A kept run without a requirement: its record and output folder."""
    output = tmp_path_factory.mktemp("runs")
    return run_experiment(experiment, output, options=RunOptions(progress=False, keep_checkpoint=True)), output


@pytest.fixture
def copied(run, tmp_path):
    """The run in a folder that a test may change: key, output folder, folder of the run."""
    record, output = run
    shutil.copytree(output, tmp_path / "records", copy_function=linked_checkpoint)
    return record.key, tmp_path / "records", tmp_path / "records" / record.folder


def linked_checkpoint(source, target):
    """As `shutil.copy2`, but a checkpoint, which no test writes in, is linked."""
    if str(source).endswith(".ckpt"):
        os.link(source, target)
    else:
        shutil.copy2(source, target)


def fitted_on(run, requirement):
    scores = read_scores(run[1], run[0])
    return fit_thresholds(scores["label"], scores["score"], requirement), scores["score"].to_numpy()


def with_scores(folder, labels, scores):
    """The run's table of scores with others in it, as many times as needed."""
    path = folder / "scores.csv"
    rows = pd.read_csv(path).iloc[[0] * len(labels)]
    kinds = ["bad" if label else "good" for label in labels]
    names = [f"{place}.png" for place in range(len(labels))]
    rows.assign(image=names, label=labels, kind=kinds, score=scores).to_csv(path, index=False)


def test_a_requirement_decides_both_thresholds_from_the_stored_scores(run, monkeypatch):
    monkeypatch.setattr("benchmark.api.found_run.run_experiment", lambda *_, **__: pytest.fail("fitted again"))
    record, output = run
    plain = find_run(record.key, output).load().info
    assert (plain.requirement, plain.upper_threshold, plain.unsure) == (None, None, None)
    assert plain.promise.startswith("no rate is promised: the threshold has the highest F1 on")
    checkpoint = output / record.folder / "model.ckpt"
    for found in (find_run(record.key, output, requirement=BAND), find_beside(checkpoint, requirement=BAND)):
        info = found.load().info
        expected, scores = fitted_on(run, BAND)
        assert info.threshold == expected.lower  # nothing is taken off: it lies between two scores
        assert (info.upper_threshold or info.threshold) == expected.upper
        assert info.unsure == np.mean((scores >= expected.lower) & (scores < expected.upper))
        assert (info.requirement, info.promise) == (BAND.on_disk, expected.promise)
        assert info.threshold_source == expected.source


def test_the_requirement_of_the_record_is_kept_when_a_run_is_fitted_again(experiment, tmp_path, copied):
    options = RunOptions(progress=False, keep_checkpoint=True, requirement=BAND)
    record = run_experiment(experiment, tmp_path / "out", options=options)
    kept = find_run(record.key, tmp_path / "out").load().info
    assert kept.threshold == pytest.approx(record.thresholds.image, rel=1e-6)  # single precision in the checkpoint
    assert (kept.upper_threshold, kept.unsure) == (record.thresholds.upper, record.thresholds.unsure)
    (tmp_path / "out" / record.folder / "model.ckpt").unlink()
    again = find_run(record.key, tmp_path / "out").load().info
    assert again.threshold == pytest.approx(kept.threshold, rel=1e-5)
    assert again.requirement == BAND.on_disk
    key, output, folder = copied
    (folder / "model.ckpt").unlink()
    asked = find_run(key, output, requirement=BAND).load().info
    assert asked.threshold == pytest.approx(kept.threshold, rel=1e-5)
    assert asked.promise == kept.promise


def test_export_writes_and_tells_both_thresholds(copied, tmp_path, capsys):
    key, output, folder = copied
    with_scores(folder, [0] * 10 + [1] * 10, [*np.arange(10.0), *np.arange(6.0, 16.0)])
    asked = ["--requirement", "max_missed=0.1", "max_false_alarms=0.1"]
    assert main(["export", "--run", key, "--records", str(output), "--output", str(tmp_path / "model"), *asked]) == 0
    info = json.loads((tmp_path / "model/model.json").read_text())
    # Of ten defective images one rank in eleven is below the lowest, of ten good ones one above the highest.
    assert (info["threshold"], info["upper_threshold"], info["unsure"]) == (5.5, 9.5, 0.4)
    assert info["requirement"] == {"max_missed": 0.1, "max_false_alarms": 0.1}
    told = capsys.readouterr().out
    assert "good below a raw score of 5.5, defective from 9.5 on, between them unsure; 40 % unsure among" in told
    assert "at most 10 % missed on average, for parts like the 10 defective images" in told
    inside = (tmp_path / "model/agreement.json").read_text()
    assert json.loads(inside)["upper_threshold"] == 9.5


def test_what_so_few_images_do_not_support_is_told(copied):
    key, output, folder = copied
    with_scores(folder, [0] * 9 + [1], [*np.arange(9.0), 20.0])
    info = find_run(key, output, requirement=Requirement(max_false_alarms=0.01)).load().info
    assert info.promise == "with 9 good images at least 10 % false alarms must be allowed for"
    assert 8 < info.threshold < 20


@pytest.mark.parametrize(
    ("requirement", "change", "message"),
    [
        (["max_missed=0.1"], lambda path: path.unlink(), r"scores.csv cannot be read .*: .*run again with --overwrite"),
        (["max_missed=0.1"], lambda path: with_scores(path.parent, [0, 0], [1, 2]),
         r"has no threshold for at most 10 % missed \(none, for there are no defective test images\); require"),
        (["max_missed=0.1"], lambda path: with_scores(path.parent, [0, 1], [1, np.inf]),
         "scores.csv: run .* has the score 'inf', expected a finite number; restore the file"),
        (["max_false_alarms=0.1", "cross_conformal=5"], lambda _: None, "no training images were scored in 5 folds"),
        (["max_missed=2"], lambda _: None, "--requirement: max_missed is 2; expected a share from 0 to 1"),
        (["max_missed=0.1", "cost.missed=5"], lambda _: None, "--requirement: .*both max_missed and cost"),
        (["missed=0.1"], lambda _: None, "--requirement: unknown key 'missed'"),
        (["max_missed"], lambda _: None, "--requirement: .*expected KEY=VALUE"),
    ],
)  # fmt: skip
def test_a_requirement_that_cannot_be_is_one_sentence_before_the_work(
    requirement, change, message, copied, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("benchmark.api.found_run.load_checkpoint", lambda *_, **__: pytest.fail("loaded"))
    key, output, folder = copied
    change(folder / "scores.csv")
    given = ["export", "--run", key, "--records", str(output), "--output", str(tmp_path / "model")]
    assert main([*given, "--requirement", *requirement]) == 1
    (told,) = capsys.readouterr().err.splitlines()
    assert not (tmp_path / "model").exists()
    assert re.search(message, told), told


def test_a_checkpoint_without_a_record_has_no_scores_to_fit_on(checkpoint, tmp_path, capsys):
    given = ["export", "--checkpoint", str(checkpoint), "--output", str(tmp_path / "model")]
    assert main([*given, "--requirement", "max_missed=0.1"]) == 1
    assert "no record of a run lies beside" in capsys.readouterr().err


def test_a_checkpoint_with_another_threshold_than_its_record_is_told(copied):
    key, output, folder = copied
    record = json.loads((folder / "record.json").read_text())
    record["thresholds"]["image"] *= 1.5
    (folder / "record.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=rf"run {key}: the threshold is .* in its checkpoint and .* in its record"):
        find_run(key, output).load()
