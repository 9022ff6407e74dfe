"""The model of a benchmark's run, kept or fitted again."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

from benchmark.api.found_run import find_run
from benchmark.one_run.options import RunOptions
from benchmark.one_run.runner import run_experiment
from benchmark.plan.experiment import Experiment
from benchmark.records.archive import read_records
from benchmark.records.record import Record
from inference.__main__ import main

TURNED = {"name": "rotation", "where": "train"}
SEEN = {"name": "flip", "where": "tta", "n_views": 2}
ONE_REMOVED = {
    "strategy": "neighbors",
    "backbone": "tf_efficientnet_lite0",
    "image_size": 64,
    "rule": "fixed_count",
    "rule_arguments": {"count": 1},
    "rounds": 1,
}


@pytest.fixture
def plain(tiny_root, monkeypatch) -> Experiment:
    monkeypatch.setenv("WORKBENCH_DATA", str(tiny_root.parent))
    data = {
        "name": "tiny", "root": str(tiny_root), "normal_dir": "train/good", "normal_test_dir": "test/good",
        "abnormal_dir": "test/bad", "mask_dir": "mask/bad", "train_batch_size": 4, "num_workers": 0,
    }  # fmt: skip
    model = {"backbone": "test_resnet", "pre_trained": False, "image_size": 32, "n_features": 10}
    return Experiment(
        model={"class_path": "extensions.Padim", "init_args": model},
        data={"class_path": "extensions.Folder", "init_args": data},
        seed=1,
    )


def recorded(experiment: Experiment, output: Path, *, keep: bool) -> Record:
    record = run_experiment(experiment, output, options=RunOptions(progress=False, keep_checkpoint=keep))
    assert record.is_finished, record.error.traceback
    return record


def refitted(experiment: Experiment, folder: Path, tiny_root: Path):
    """A run's model where it was kept and where it was not; facts and files of the latter."""
    kept, thrown_away = folder / "kept", folder / "thrown away"
    key = recorded(experiment, kept, keep=True).key
    shutil.copytree(kept, thrown_away)
    for checkpoint in thrown_away.rglob("model.ckpt"):
        checkpoint.unlink()
    expected = find_run(key, kept, tiny_root.parent).load().model
    return expected, find_run(key[:6], thrown_away, tiny_root.parent).load()


def same(one, other) -> bool:
    return all(
        torch.allclose(value, other.state_dict()[name], equal_nan=True) for name, value in one.state_dict().items()
    )


@pytest.mark.parametrize(
    "changes",
    [{}, {"refinement": ONE_REMOVED, "augmentation": [TURNED]}],
    ids=["plain", "augmented and refined"],
)
def test_a_run_that_was_not_kept_is_fitted_again_as_its_record_says(changes, plain, tiny_root, tmp_path, caplog):
    experiment = dataclasses.replace(plain, **changes)
    expected, run = refitted(experiment, tmp_path, tiny_root)
    assert "was not kept and is fitted again" in caplog.text
    assert same(expected, run.model)
    assert run.info.run_key == read_records(tmp_path / "kept")[0].key
    assert run.info.threshold is not None
    assert len(run.images) == (7 if "refinement" in changes else 8)
    assert all(file.parent == tiny_root / "train/good" for file in run.images)


def test_augmented_training_gives_another_model(plain, tiny_root, tmp_path):
    turned = refitted(dataclasses.replace(plain, augmentation=TURNED), tmp_path / "turned", tiny_root)[1]
    assert not same(turned.model, refitted(plain, tmp_path / "plain", tiny_root)[1].model)


@pytest.mark.parametrize("keep", [True, False])
def test_of_augmented_tests_the_model_and_threshold_are_those_of_a_plain_test(keep, plain, tiny_root, tmp_path, caplog):
    seen = recorded(dataclasses.replace(plain, augmentation=[TURNED, SEEN]), tmp_path, keep=True)
    twin = recorded(dataclasses.replace(plain, augmentation=TURNED), tmp_path, keep=keep)
    info = find_run(seen.key, tmp_path, tiny_root.parent).load().info
    assert info.run_key == twin.key
    assert info.threshold == pytest.approx(twin.thresholds.image, rel=1e-3)
    assert info.threshold != pytest.approx(seen.thresholds.image, rel=1e-3)
    assert "flip (tta, 2 views, mean)" in caplog.text
    assert ("is fitted again" in caplog.text) is not keep


def test_a_kept_model_needs_no_training_images(plain, tiny_root, tmp_path, caplog):
    key = recorded(plain, tmp_path, keep=True).key
    run = find_run(key, tmp_path, tmp_path / "nowhere").load()
    assert (type(run.model).__name__, run.info.run_key, run.images) == ("Padim", key, [])
    assert "were not found" in caplog.text


def test_what_cannot_be_had_is_one_sentence(plain, tiny_root, tmp_path):
    key = recorded(plain, tmp_path, keep=False).key
    with pytest.raises(ValueError, match=r"--run zz: expected one run.*found none"):
        find_run("zz", tmp_path).load()
    with pytest.raises(RuntimeError, match=rf"{key} was not kept and cannot be fitted again: .*nowhere"):
        find_run(key, tmp_path, tmp_path / "nowhere").load()
    never = dataclasses.replace(plain, refinement={**ONE_REMOVED, "retrain": "never"})
    with pytest.raises(RuntimeError, match="its refinement only removes images"):
        find_run(recorded(never, tmp_path / "never", keep=True).key, tmp_path / "never", tiny_root.parent).load()
    path = next(tmp_path.glob("runs/**/record.json"))
    found = json.loads(path.read_text())
    for change, sentence in [({"status": "failed"}, "is failed, so there is no model"), ({"experiment": {}}, "run it")]:
        path.write_text(json.dumps(found | change))
        with pytest.raises(ValueError, match=sentence):
            find_run(key, tmp_path).load()


@pytest.fixture
def elsewhere(plain, tiny_root, tmp_path, monkeypatch):
    """Key of a kept run whose data root was `tiny_root`'s parent, while the variable now names a folder without it."""
    key = recorded(plain, tmp_path / "out", keep=True).key
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path / "empty"))
    return key


def relative(plain, tiny_root):
    data = plain.data | {"init_args": plain.data["init_args"] | {"root": tiny_root.name}}
    return dataclasses.replace(plain, data=data)


def test_images_are_looked_for_where_the_option_then_the_variable_then_the_run_says(
    plain, tiny_root, tmp_path, monkeypatch, caplog
):
    key = recorded(relative(plain, tiny_root), tmp_path / "out", keep=True).key
    empty = tmp_path / "empty"
    empty.mkdir()
    for option, variable, expected in [
        (tiny_root.parent, empty, "--data-root"),
        (None, tiny_root.parent, "$WORKBENCH_DATA"),
        (None, empty, "kept with the run"),
        (None, None, "kept with the run"),
    ]:
        monkeypatch.setenv("WORKBENCH_DATA", str(variable or ""))
        run = find_run(key, tmp_path / "out", option)
        assert (run.place.source, run.place.root, run.has_images) == (expected, tiny_root.parent, True)
        assert ("are not at" in caplog.text) is (option is None and variable == empty)
        caplog.clear()
    asked = find_run(key, tmp_path / "out", empty)  # what is asked for is not silently replaced
    assert (asked.has_images, asked.place.source) == (False, "--data-root")
    for local in (tmp_path / "out").rglob("local.json"):
        local.unlink()
    monkeypatch.chdir(tiny_root.parent)
    monkeypatch.delenv("WORKBENCH_DATA")
    assert find_run(key, tmp_path / "out").place.source == "the working directory"


def test_absolute_roots_are_found_without_any_data_root(elsewhere, tiny_root, tmp_path):
    run = find_run(elsewhere, tmp_path / "out")
    assert run.has_images
    assert run.prepared.datamodule.root == tiny_root
    assert sorted(run.load().fitted_on.files) == sorted((tiny_root / "test").rglob("*.png"))


def test_data_that_are_not_there_are_told_before_a_model_is_loaded(plain, tiny_root, tmp_path, monkeypatch, capsys):
    key = recorded(relative(plain, tiny_root), tmp_path / "out", keep=True).key
    monkeypatch.setattr("benchmark.api.found_run.load_checkpoint", lambda *_, **__: pytest.fail("loaded"))
    (checkpoint,) = (tmp_path / "out").rglob("model.ckpt")
    for which in (["--run", key, "--records", str(tmp_path / "out")], ["--checkpoint", str(checkpoint)]):
        given = ["export", *which, "--data-root", str(tmp_path), "--output", str(tmp_path / "model")]
        assert main(given) == 1
        told = capsys.readouterr().err
        assert f"start at {tmp_path} (--data-root)" in told
        assert "by --data-root" in told
    given = ["--records", str(tmp_path / "out"), "--input", str(tiny_root / "test"), "--output", str(tmp_path / "all")]
    assert main(["compare", *given, "--data-root", str(tmp_path)]) == 1
    assert f"start at {tmp_path} (--data-root)" in capsys.readouterr().err


def test_export_takes_the_best_run_and_says_which(elsewhere, tmp_path, capsys):
    given = ["export", "--run", "best", "--records", str(tmp_path / "out"), "--output", str(tmp_path / "model")]
    assert main(given) == 0
    assert f"best on tiny: Padim test_resnet, run {elsewhere}" in capsys.readouterr().out
    assert json.loads((tmp_path / "model/model.json").read_text())["run_key"] == elsewhere


def test_a_checkpoint_beside_its_record_needs_no_calibration(elsewhere, tmp_path):
    (checkpoint,) = (tmp_path / "out").rglob("model.ckpt")
    assert main(["export", "--checkpoint", str(checkpoint), "--output", str(tmp_path / "model")]) == 0
    assert json.loads((tmp_path / "model/agreement.json").read_text())["n_images"] == 8


def test_export_takes_a_run(plain, tiny_root, tmp_path, capsys):
    key = recorded(plain, tmp_path / "runs of mine", keep=False).key
    given = ["--records", str(tmp_path / "runs of mine"), "--data-root", str(tiny_root.parent)]
    assert main(["export", "--run", key, *given, "--output", str(tmp_path / "model")]) == 0
    info = json.loads((tmp_path / "model/model.json").read_text())
    assert (info["run_key"], info["agreement"]["n_images"]) == (key, 8)
    assert str(tmp_path) not in (tmp_path / "model/model.json").read_text()
