"""A run that reuses work says what its fit would have cost without, or that it does not know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.one_run.options import RunOptions
from benchmark.one_run.runner import run_experiment
from benchmark.plan.experiment import Experiment
from benchmark.tables.summary import reused
from extensions import Folder
from extensions.cache import open_cache
from extensions.cache.costs import SelectionTimes
from extensions.cache.store import WorkCache
from extensions.refinement.training_features import training_features


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> WorkCache:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    return open_cache()


@pytest.fixture
def weights(tmp_path) -> Path:
    import timm

    torch.manual_seed(0)
    torch.save(timm.create_model("test_resnet", pretrained=False).state_dict(), tmp_path / "test_resnet.pth")
    return tmp_path / "test_resnet.pth"


def finish(root: Path, weights: Path, output: Path, name: str, *, data: dict | None = None, **arguments) -> dict:
    folders = {
        "name": "tiny", "root": str(root), "normal_dir": "train/good", "normal_test_dir": "test/good",
        "abnormal_dir": "test/bad", "num_workers": 0,
    }  # fmt: skip
    model = {"backbone": "test_resnet", "weights": str(weights), "image_size": 32, "layers": ["layer2", "layer3"]}
    one = Experiment(
        model={"class_path": f"extensions.{name}", "init_args": model | arguments},
        data={"class_path": "extensions.Folder", "init_args": folders | (data or {})},
        trainer={"max_epochs": 1} if name == "Stfpm" else {},
    )
    record = run_experiment(one, output, options=RunOptions(progress=False, keep_checkpoint=False))
    assert record.status == "finished", record.error.traceback
    return record


def test_a_fit_on_reused_features_and_bank_costs_what_they_took(tiny_root, weights, tmp_path, cache):
    bank = {"coreset_sampling_ratio": 0.5, "num_neighbors": 2}
    first = finish(tiny_root, weights, tmp_path / "a", "Patchcore", **bank).speed
    assert first.fit_reused_seconds == 0
    assert first.fit_seconds == first.fit_own_seconds
    notes = [float(cache.noted("features", path.stem)[0]) for path in cache.folder.glob("features/*/*.npy")]
    assert min(notes) > 0
    record = finish(tiny_root, weights, tmp_path / "b", "Patchcore", **bank | {"num_neighbors": 1})
    second = record.speed
    assert second.fit_seconds == pytest.approx(second.fit_own_seconds + second.fit_reused_seconds)
    assert record.reused.train.on_disk() == {"images": 8, "features": 8, "of": 8, "bank": True}
    assert reused(record) is None
    (path,) = cache.folder.glob("banks/*/*.npy")
    selected = SelectionTimes.seconds(cache.noted("banks", path.stem), 10**9)
    # 16 images and two layers of each; a pass of the 8 that are trained on is about half of the notes of one layer
    assert selected < second.fit_reused_seconds < selected + sum(notes)
    smaller = finish(tiny_root, weights, tmp_path / "c", "Patchcore", **bank | {"coreset_sampling_ratio": 0.1}).speed
    assert smaller.fit_reused_seconds < second.fit_reused_seconds


def test_what_a_cache_of_before_does_not_know_is_blank_and_says_why(tiny_root, weights, tmp_path, cache):
    finish(tiny_root, weights, tmp_path / "a", "Padim", n_features=5)
    for path in cache.folder.glob("features/*/*.npy"):
        array = np.array(cache.get("features", path.stem))
        path.unlink()
        cache.put("features", path.stem, array)
    record = finish(tiny_root, weights, tmp_path / "b", "Padim", n_features=9)
    assert record.speed.fit_seconds is None
    assert record.speed.fit_own_seconds > 0
    assert reused(record) == "features, images"


def test_few_of_the_images_cost_their_share(tiny_root, weights, tmp_path, cache):
    finish(tiny_root, weights, tmp_path / "a", "Padim", n_features=5)
    whole = finish(tiny_root, weights, tmp_path / "b", "Padim", n_features=6).speed.fit_reused_seconds
    few = finish(tiny_root, weights, tmp_path / "c", "Padim", data={"k_shot": 4}, n_features=5).speed
    assert few.fit_reused_seconds == pytest.approx(whole / 2)


def test_images_decoded_for_another_backbone_keep_their_part_of_the_cost(tiny_root, weights, tmp_path, cache):
    finish(tiny_root, weights, tmp_path / "a", "Padim", n_features=5)
    for path in cache.folder.glob("features/*/*.npy"):
        path.unlink()
    record = finish(tiny_root, weights, tmp_path / "b", "Padim", n_features=6)
    decoded = [cache.noted("images", path.stem) for path in cache.folder.glob("images/*/*.npy")]
    assert len(decoded) == 16
    assert 0 < record.speed.fit_reused_seconds < sum(float(note[0]) for note in decoded)


def test_features_that_a_ranking_computed_are_counted(tiny_root, weights, tmp_path, cache):
    layers = ["layer2", "layer3"]
    data = Folder("tiny", "train/good", tiny_root, "test/bad", "test/good", num_workers=0)
    training_features(data, backbone="test_resnet", weights=weights, layers=layers, image_size=32)
    record = finish(tiny_root, weights, tmp_path / "a", "Padim", n_features=5)
    assert record.reused.train.on_disk() == {"images": 8, "features": 8, "of": 8}
    assert record.speed.fit_seconds > record.speed.fit_own_seconds


def test_a_fit_without_features_knows_what_its_images_took(tiny_root, tmp_path):
    folders = {
        "name": "tiny", "root": str(tiny_root), "normal_dir": "train/good", "normal_test_dir": "test/good",
        "abnormal_dir": "test/bad", "num_workers": 0,
    }  # fmt: skip
    one = Experiment(
        model={"class_path": "extensions.ConvAutoencoder", "init_args": {"image_size": 32, "latent_dim": 4}},
        data={"class_path": "extensions.Folder", "init_args": folders},
        trainer={"max_epochs": 1},
    )
    options = RunOptions(progress=False, keep_checkpoint=False)
    first, again = (run_experiment(one, tmp_path / name, options=options).speed for name in "ab")
    assert first.fit_seconds == first.fit_own_seconds > 0
    assert again.fit_reused_seconds > 0
    assert again.fit_seconds == pytest.approx(again.fit_own_seconds + again.fit_reused_seconds)


def test_a_note_is_read_again_and_hides_nothing_of_the_array(cache):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    cache.note("features", "ab", [1.0])  # of nothing
    assert cache.noted("features", "ab") is None
    cache.put("features", "ab", array)
    assert cache.noted("features", "ab") is None
    cache.note("features", "ab", [0.5, 2.0])
    cache.note("features", "ab", [9.0])
    assert cache.noted("features", "ab").tolist() == [0.5, 2.0]
    np.testing.assert_array_equal(cache.get("features", "ab"), array)
    with cache._path("features", "ab").open("r+b") as file:
        file.truncate(cache._path("features", "ab").stat().st_size - 1)
    assert cache.noted("features", "ab") is None
    np.testing.assert_array_equal(cache.get("features", "ab"), array)


def test_the_first_part_of_a_selection_took_as_long_as_it_took_to_get_there(monkeypatch):
    clock = iter([0.0, 2.0, 3.0, 7.0])
    monkeypatch.setattr("extensions.cache.costs.time.perf_counter", lambda: next(clock))
    times = SelectionTimes()
    times.reached(10)
    times.reached(20)
    note = np.array(times.note(40))
    assert [SelectionTimes.seconds(note, n) for n in (40, 20, 10, 30)] == [7.0, 3.0, 2.0, 5.0]
    assert SelectionTimes.seconds(None, 10) is None


def test_a_selection_that_went_on_from_a_stopped_one_does_not_know_its_time():
    times = SelectionTimes()
    times.is_whole = False
    assert times.note(10) == []


def test_a_long_selection_keeps_few_times():
    times = SelectionTimes()
    for n in range(1, 5000):
        times.reached(n)
    note = np.array(times.note(5000))
    assert len(note) < 500
    assert SelectionTimes.seconds(note, 5000) >= SelectionTimes.seconds(note, 100) > 0
