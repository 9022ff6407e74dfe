"""The model of a benchmark's run, kept or fitted again."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

from benchmark.experiment import Experiment
from benchmark.runner import RunOptions, run_experiment
from benchmark.store import Store
from inference.__main__ import main
from inference.runs import model_of_run

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
    model = {"backbone": "resnet18", "pre_trained": False, "image_size": 32, "n_features": 10}
    return Experiment(
        model={"class_path": "extensions.Padim", "init_args": model},
        data={"class_path": "extensions.Folder", "init_args": data},
        seed=1,
    )


def recorded(experiment: Experiment, output: Path, *, keep: bool) -> dict:
    record = run_experiment(experiment, output, options=RunOptions(progress=False, keep_checkpoint=keep))
    assert record["status"] == "finished", record["error"]["traceback"]
    return record


def refitted(experiment: Experiment, folder: Path, tiny_root: Path):
    """A run's model where it was kept and where it was not; facts and files of the latter."""
    kept, thrown_away = folder / "kept", folder / "thrown away"
    key = recorded(experiment, kept, keep=True)["key"]
    shutil.copytree(kept, thrown_away)
    for checkpoint in thrown_away.rglob("model.ckpt"):
        checkpoint.unlink()
    expected = model_of_run(key, kept, tiny_root.parent)[0]
    return expected, *model_of_run(key[:6], thrown_away, tiny_root.parent)


def same(one, other) -> bool:
    return all(
        torch.allclose(value, other.state_dict()[name], equal_nan=True) for name, value in one.state_dict().items()
    )


@pytest.mark.parametrize(
    "changes",
    [{}, {"augmentation": TURNED}, {"refinement": ONE_REMOVED}, {"refinement": ONE_REMOVED, "augmentation": [TURNED]}],
    ids=["plain", "augmented", "refined", "both"],
)
def test_a_run_that_was_not_kept_is_fitted_again_as_its_record_says(changes, plain, tiny_root, tmp_path, caplog):
    experiment = dataclasses.replace(plain, **changes)
    expected, model, info, files = refitted(experiment, tmp_path, tiny_root)
    assert "was not kept and is fitted again" in caplog.text
    assert same(expected, model)
    assert info.run_key == Store(tmp_path / "kept").read(next((tmp_path / "kept").rglob("record.json")).parent)["key"]
    assert info.threshold is not None
    assert len(files) == (7 if "refinement" in changes else 8)
    assert all(file.parent == tiny_root / "train/good" for file in files)


def test_augmented_training_gives_another_model(plain, tiny_root, tmp_path):
    model = refitted(dataclasses.replace(plain, augmentation=TURNED), tmp_path / "turned", tiny_root)[1]
    assert not same(model, refitted(plain, tmp_path / "plain", tiny_root)[1])


@pytest.mark.parametrize("keep", [True, False])
def test_of_augmented_tests_the_model_and_threshold_are_those_of_a_plain_test(keep, plain, tiny_root, tmp_path, caplog):
    seen = recorded(dataclasses.replace(plain, augmentation=[TURNED, SEEN]), tmp_path, keep=True)
    twin = recorded(dataclasses.replace(plain, augmentation=TURNED), tmp_path, keep=keep)
    _, info, _ = model_of_run(seen["key"], tmp_path, tiny_root.parent)
    assert info.run_key == twin["key"]
    assert info.threshold == pytest.approx(twin["thresholds"]["image"], rel=1e-3)
    assert info.threshold != pytest.approx(seen["thresholds"]["image"], rel=1e-3)
    assert "flip (tta, 2 views, mean)" in caplog.text
    assert ("is fitted again" in caplog.text) is not keep


def test_a_kept_model_needs_no_training_pictures(plain, tiny_root, tmp_path, caplog):
    key = recorded(plain, tmp_path, keep=True)["key"]
    model, info, files = model_of_run(key, tmp_path, tmp_path / "nowhere")
    assert (type(model).__name__, info.run_key, files) == ("Padim", key, [])
    assert "were not found" in caplog.text


def test_what_cannot_be_had_is_one_sentence(plain, tiny_root, tmp_path):
    key = recorded(plain, tmp_path, keep=False)["key"]
    with pytest.raises(ValueError, match=r"--run zz: expected one run.*found none"):
        model_of_run("zz", tmp_path)
    with pytest.raises(RuntimeError, match=rf"{key} was not kept and cannot be fitted again: .*nowhere"):
        model_of_run(key, tmp_path, tmp_path / "nowhere")
    never = dataclasses.replace(plain, refinement={**ONE_REMOVED, "retrain": "never"})
    with pytest.raises(RuntimeError, match="its refinement only removes pictures"):
        model_of_run(recorded(never, tmp_path / "never", keep=True)["key"], tmp_path / "never", tiny_root.parent)
    path = next(tmp_path.glob("runs/**/record.json"))
    found = json.loads(path.read_text())
    for change, sentence in [({"status": "failed"}, "is failed, so there is no model"), ({"experiment": {}}, "run it")]:
        path.write_text(json.dumps(found | change))
        with pytest.raises(ValueError, match=sentence):
            model_of_run(key, tmp_path)


def test_export_takes_a_run(plain, tiny_root, tmp_path, capsys):
    key = recorded(plain, tmp_path / "runs of mine", keep=False)["key"]
    given = ["--records", str(tmp_path / "runs of mine"), "--data-root", str(tiny_root.parent)]
    assert main(["export", "--run", key, *given, "--output", str(tmp_path / "model")]) == 0
    info = json.loads((tmp_path / "model/model.json").read_text())
    assert (info["run_key"], info["agreement"]["n_pictures"]) == (key, 8)
    assert str(tmp_path) not in (tmp_path / "model/model.json").read_text()
