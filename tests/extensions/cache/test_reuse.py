from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from benchmark.execute.sweep import run_sweep
from benchmark.one_run.options import RunOptions
from benchmark.one_run.runner import run_experiment
from benchmark.plan.experiment import Experiment
from benchmark.records.archive import read_records
from benchmark.records.record import Record
from extensions.backbones.frozen import FrozenFeatureExtractor
from extensions.cache import open_cache
from extensions.cache.features import FeatureStore
from extensions.cache.images import ImageSplit
from extensions.cache.transform_parts import gives_one_size, split_repeatable, split_transform
from extensions.data.checks.inspection import inspect_files
from extensions.models.patchcore import torch_model

MODELS = {
    "Patchcore": {"coreset_sampling_ratio": 0.2, "num_neighbors": 2},
    "Padim": {"n_features": 20},
    "Stfpm": {},
    "ContrastiveStfpm": {"projection_size": 8},
    "Cflow": {"coupling_blocks": 1, "fiber_batch_size": 64, "layers": ["layer2", "layer3"]},
    "ReverseDistillation": {"layers": ["layer1", "layer2"]},
    "Fastflow": {"flow_steps": 2, "hidden_ratio": 0.25},
}
N_IMAGES = 16


@pytest.fixture
def root(tiny_root, tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    shutil.copytree(tiny_root, tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    import timm

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "test_resnet.pth"
    torch.save(timm.create_model("test_resnet", pretrained=False).state_dict(), path)
    return path


@pytest.fixture
def work(monkeypatch) -> Counter:
    """Counts decoded images, those of the check before a run included, and images a frozen backbone has seen."""
    import extensions.data.checks.inspection as inspection
    import extensions.data.datamodules.dataset as dataset

    counted: Counter = Counter()
    compute = FrozenFeatureExtractor.compute

    def counting(decode):
        def decode_and_count(source):
            counted["decoded"] += 1
            return decode(source)

        return decode_and_count

    def counting_compute(self, images):
        counted["seen"] += len(images)
        return compute(self, images)

    monkeypatch.setattr(dataset, "read_image", counting(dataset.read_image))
    monkeypatch.setattr(inspection, "image_array", counting(inspection.image_array))
    monkeypatch.setattr(FrozenFeatureExtractor, "compute", counting_compute)
    return counted


def experiment(root: Path, weights: Path, name: str = "Patchcore", **changes) -> Experiment:
    data = {
        "name": "tiny", "root": str(root), "normal_dir": "train/good", "normal_test_dir": "test/good",
        "abnormal_dir": "test/bad", "mask_dir": "mask/bad", "train_batch_size": 4, "eval_batch_size": 3,
        "num_workers": 0,
    } | changes.pop("data", {})  # fmt: skip
    arguments = {
        "backbone": "test_resnet",
        "weights": str(weights),
        "image_size": 32,
        **MODELS.get(name, {}),
        **changes,
    }
    trainer = {} if name in ("Patchcore", "Padim") else {"max_epochs": 2}
    return Experiment(
        model={"class_path": f"extensions.{name}", "init_args": arguments},
        data={"class_path": "extensions.Folder", "init_args": data},
        trainer=trainer,
    )


def finish(one: Experiment, output: Path, **options) -> Record:
    record = run_experiment(one, output, options=RunOptions(progress=False, keep_checkpoint=False, **options))
    assert record.status == "finished", record.error.traceback
    return record


def scores(output: Path) -> np.ndarray:
    (record,) = read_records(output)
    return pd.read_csv(output / record.folder / "scores.csv")["score"].to_numpy()


@pytest.mark.parametrize("name", MODELS)
def test_results_are_the_same_without_a_cache_with_a_cold_and_with_a_warm_one(
    name, root, weights, tmp_path, monkeypatch
):
    one = experiment(root, weights, name)
    cold, warm = finish(one, tmp_path / "cold"), finish(one, tmp_path / "warm")
    monkeypatch.setenv("WORKBENCH_CACHE_LIMIT", "0")
    without = finish(one, tmp_path / "without")
    assert cold.reused.train.on_disk() == {"images": 0, "features": 0, "of": 8}
    assert warm.reused.train.features == 8
    assert warm.reused.test.on_disk() == {"images": 8, "features": 8, "of": 8}
    assert without.reused.on_disk() == {}
    np.testing.assert_allclose(scores(tmp_path / "cold"), scores(tmp_path / "without"), rtol=1e-4)
    np.testing.assert_allclose(scores(tmp_path / "warm"), scores(tmp_path / "cold"), rtol=1e-4)
    for metric, value in without.metrics.items():
        assert warm.metrics[metric] == pytest.approx(value, abs=1e-4), metric


@pytest.mark.parametrize(
    ("augmentation", "name"),
    [
        (None, "Patchcore"),
        ({"name": "flip", "where": "both"}, "Stfpm"),
        ({"name": "flip", "where": "tta"}, "ConvAutoencoder"),
    ],
)
def test_a_crop_of_the_center_is_done_each_time_and_changes_nothing(
    name, augmentation, root, weights, tmp_path, monkeypatch
):
    """The pre-processor works on images from the cache as on those of the data set, augmented ones among them."""
    if name == "ConvAutoencoder":
        one = experiment(root, weights, "Stfpm")
        model = {"class_path": "extensions.ConvAutoencoder", "init_args": {"latent_dim": 4, "image_size": 80}}
        one = replace(one, model={**model, "init_args": model["init_args"] | {"center_crop": 64}})
    else:
        one = experiment(root, weights, name, image_size=45, center_crop=32)
    one = replace(one, augmentation=augmentation)
    cold, warm = finish(one, tmp_path / "cold"), finish(one, tmp_path / "warm")
    monkeypatch.setenv("WORKBENCH_CACHE_LIMIT", "0")
    without = finish(one, tmp_path / "without")
    assert warm.reused.test.images == 8
    assert cold.dataset.image_size == warm.dataset.image_size == without.dataset.image_size
    np.testing.assert_allclose(scores(tmp_path / "cold"), scores(tmp_path / "without"), rtol=1e-4)
    np.testing.assert_allclose(scores(tmp_path / "warm"), scores(tmp_path / "cold"), rtol=1e-4)


def test_a_second_run_decodes_nothing_and_its_backbone_sees_nothing(root, weights, tmp_path, work):
    finish(experiment(root, weights), tmp_path / "out")
    assert work["decoded"] == N_IMAGES
    work.clear()
    second = finish(experiment(root, weights, num_neighbors=1), tmp_path / "out")
    assert work["decoded"] == 0
    assert work["seen"] == 2 + second.speed.latency_n  # what is timed, and the calls before


def test_models_with_other_layers_share_one_pass_in_a_sweep(root, weights, tmp_path, work):
    sweep = [experiment(root, weights, name) for name in ("Patchcore", "Padim", "Cflow")]
    run_sweep(sweep, tmp_path / "out", options=RunOptions(progress=False), keep="none")
    records = {record.model: record for record in read_records(tmp_path / "out")}
    assert work["decoded"] == N_IMAGES
    assert records["Patchcore"].reused.train.features == 0
    assert records["Padim"].reused.train.features == 8
    assert records["Cflow"].reused.test.features == 8


def test_settings_on_the_same_patches_share_one_coreset(root, weights, tmp_path, monkeypatch):
    """Each of `ratios` with each of `neighbors`: selected once, whatever order they are asked for in."""
    selections = []
    select = torch_model.select_coreset

    def counting(*arguments, **options):
        selections.append(options["sampling_ratio"])
        return select(*arguments, **options)

    monkeypatch.setattr(torch_model, "select_coreset", counting)
    sweep = [
        experiment(root, weights, coreset_sampling_ratio=ratio, num_neighbors=n) for ratio in (0.1, 0.2) for n in (1, 2)
    ]
    run_sweep(sweep, tmp_path / "shared", options=RunOptions(progress=False), keep="none")
    assert selections == [0.2]
    monkeypatch.setenv("WORKBENCH_CACHE_LIMIT", "0")
    run_sweep(sweep, tmp_path / "alone", options=RunOptions(progress=False), keep="none")
    shared, alone = (
        {
            r.key: (r.reused, pd.read_csv(tmp_path / name / r.folder / "scores.csv")["score"])
            for r in read_records(tmp_path / name)
        }
        for name in ("shared", "alone")
    )
    assert shared.keys() == alone.keys()
    assert sum(reused.train.bank for reused, _ in shared.values()) == 3
    for key, (_, found) in shared.items():
        np.testing.assert_allclose(found, alone[key][1], rtol=1e-5)


def test_a_run_with_a_known_bank_reads_features_of_no_more_than_one_training_batch(
    root, weights, tmp_path, monkeypatch
):
    finish(experiment(root, weights), tmp_path / "out")
    read = []
    batch = FeatureStore.batch

    def counting(self, split, indices, layers):
        read.extend((split.paths[index], layers) for index in indices)
        return batch(self, split, indices, layers)

    monkeypatch.setattr(FeatureStore, "batch", counting)
    record = finish(experiment(root, weights, num_neighbors=1), tmp_path / "out")
    assert record.reused.train.on_disk() == {"images": 8, "features": 8, "of": 8, "bank": True}
    assert sum("train" in path for path, _ in read) == 4
    assert len(read) == 4 + 8


def test_a_run_draws_the_same_numbers_alone_and_beside_models_with_more_layers(root, weights, tmp_path, monkeypatch):
    one, other = experiment(root, weights), experiment(root, weights, "Padim")
    run_sweep([one, other], tmp_path / "sweep", options=RunOptions(progress=False), keep="none")
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "another"))
    alone = finish(one, tmp_path / "alone")
    (beside,) = [record for record in read_records(tmp_path / "sweep") if record.key == alone.key]
    np.testing.assert_allclose(
        pd.read_csv(tmp_path / "sweep" / beside.folder / "scores.csv")["score"], scores(tmp_path / "alone"), rtol=1e-5
    )


def test_images_whose_size_depends_on_their_shape_are_left_alone():
    assert gives_one_size(v2.Compose([v2.Resize((32, 32))]))
    assert gives_one_size(v2.Compose([v2.Resize(32), v2.CenterCrop(16)]))
    assert not gives_one_size(v2.Compose([v2.Resize(32)]))
    assert not gives_one_size(None)


def test_another_seed_selects_another_coreset(root, weights, tmp_path):
    first = finish(experiment(root, weights), tmp_path / "out")
    other = experiment(root, weights)
    second = finish(Experiment(model=other.model, data=other.data, seed=1), tmp_path / "out")
    assert not first.reused.train.bank
    assert not second.reused.train.bank


def test_only_a_changed_image_is_worked_on_again(root, weights, tmp_path, work):
    finish(experiment(root, weights), tmp_path / "out")
    path = root / "test/bad/000.png"
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    work.clear()
    record = finish(experiment(root, weights), tmp_path / "out")
    assert work["decoded"] == 1
    assert record.reused.test.on_disk() == {"images": 7, "features": 7, "of": 8}


def test_another_mask_is_read(root, weights, tmp_path):
    first = finish(experiment(root, weights), tmp_path / "out")
    Image.fromarray(np.full((64, 64), 255, np.uint8)).save(root / "mask/bad/000.png")
    second = finish(experiment(root, weights), tmp_path / "out")
    assert second.metrics["pixel_F1Floor"] > first.metrics["pixel_F1Floor"]


def test_another_size_weights_file_or_layer_is_worked_on_again(root, weights, tmp_path):
    finish(experiment(root, weights), tmp_path / "out")
    resized = finish(experiment(root, weights, image_size=48), tmp_path / "out")
    assert resized.reused.train.on_disk() == {"images": 0, "features": 0, "of": 8}
    other = tmp_path / "other.pth"
    state = torch.load(weights, weights_only=True)
    torch.save({name: tensor * 1.5 for name, tensor in state.items()}, other)
    assert finish(experiment(root, other), tmp_path / "out").reused.train.on_disk() == {
        "images": 8,
        "features": 0,
        "of": 8,
    }
    deeper = finish(experiment(root, weights, layers=["layer1", "layer2"]), tmp_path / "out")
    assert deeper.reused.train.on_disk() == {"images": 8, "features": 0, "of": 8}


def test_images_with_random_augmentations_are_drawn_anew_from_decoded_ones(root, weights, tmp_path, work):
    flips = {"class_path": "torchvision.transforms.v2.RandomHorizontalFlip", "init_args": {"p": 0.5}}
    one = experiment(root, weights, "Stfpm", data={"train_augmentations": flips})
    record = finish(one, tmp_path / "out")
    assert record.reused.train.on_disk() == {"images": 0, "features": 0, "of": 8}
    assert work["decoded"] == N_IMAGES
    assert work["seen"] >= 2 * 8 + 8  # each epoch, the teacher sees other images


def test_neither_epochs_nor_validation_add_to_what_the_teacher_sees(root, weights, tmp_path, work, monkeypatch):
    held_out = {"val_split_mode": "from_train", "val_split_ratio": 0.25}
    one = experiment(root, weights, "ContrastiveStfpm", data=held_out)
    seen, records = [], []
    for epochs in (1, 4):
        monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / f"cache-{epochs}"))
        work.clear()
        records.append(finish(replace(one, trainer={"max_epochs": epochs}), tmp_path / f"out-{epochs}"))
        assert work["decoded"] == N_IMAGES
        seen.append(work["seen"] - records[-1].speed.latency_n)  # a busy machine times fewer images
    assert seen[0] == seen[1]
    assert records[1].reused.val.on_disk() == {"images": 0, "features": 0, "of": 2}
    monkeypatch.setenv("WORKBENCH_CACHE_LIMIT", "0")
    without = finish(replace(one, trainer={"max_epochs": 4}), tmp_path / "without")
    assert len(without.training.val_loss) == 4
    np.testing.assert_allclose(records[1].training.val_loss, without.training.val_loss, rtol=1e-3)


def test_augmented_items_are_those_of_the_data_set(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    datamodule = tiny_folder()
    datamodule.setup()
    flip, fixed = v2.RandomHorizontalFlip(p=1.0), v2.Compose([v2.Resize((32, 32), antialias=True)])
    split = ImageSplit(datamodule.test_data, open_cache(), fixed, inspect=inspect_files, augmentations=flip)
    datamodule.test_data.augmentations = v2.Compose([flip, fixed])
    for index in (0, 7):
        for _ in range(2):  # decoded, then from the cache
            expected, found = datamodule.test_data[index], split[index]
            torch.testing.assert_close(torch.Tensor(found.image), torch.Tensor(expected.image), rtol=0, atol=0)
            assert torch.equal(torch.Tensor(found.gt_mask), torch.Tensor(expected.gt_mask))


def test_a_damaged_entry_is_computed_again_in_the_middle_of_a_run(root, weights, tmp_path):
    one = experiment(root, weights)
    finish(one, tmp_path / "first")
    for number, path in enumerate(sorted((tmp_path / "cache/work/features").rglob("*.npy"))):
        if number % 2:
            path.write_bytes(path.read_bytes()[:200])  # the directory entry is there, the content is not
    finish(one, tmp_path / "second")
    np.testing.assert_allclose(scores(tmp_path / "second"), scores(tmp_path / "first"), rtol=1e-5)


def test_a_cache_without_room_changes_nothing_but_the_time(root, weights, tmp_path, monkeypatch, caplog):
    one = experiment(root, weights)
    finish(one, tmp_path / "roomy")
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "small"))
    monkeypatch.setenv("WORKBENCH_CACHE_LIMIT", "0.0001")  # 107 kB
    record = finish(one, tmp_path / "small-out")
    assert "no room for 8 images of tiny" in caplog.text
    assert record.reused.train.features == 0
    np.testing.assert_allclose(scores(tmp_path / "small-out"), scores(tmp_path / "roomy"), rtol=1e-5)


def test_what_is_kept_of_a_transform_is_not_changed_by_doing_it_again():
    whole = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Resize((8, 8)), v2.CenterCrop(6), v2.Resize((9, 9))])
    first, rest = split_repeatable(whole)
    assert [type(step) for step in first.transforms] == [v2.ToDtype, v2.Resize]
    assert [type(step) for step in rest.transforms] == [v2.CenterCrop, v2.Resize]
    image = torch.rand(3, 16, 20)
    assert torch.equal(whole(first(image)), whole(image))
    assert split_repeatable(None) == (None, None)


def test_random_steps_are_never_kept():
    assert split_transform(v2.Compose([v2.Resize(32), v2.RandomCrop(16)])) is None
    fixed, normalize = split_transform(v2.Compose([v2.Resize(32), v2.Normalize([0.5], [0.5])]))
    assert [type(step) for step in fixed.transforms] == [v2.Resize]
    assert [type(step) for step in normalize.transforms] == [v2.Normalize]
    assert split_transform(None) == (None, None)


def test_images_that_every_epoch_reads_are_opened_once(root, tmp_path, monkeypatch):
    from extensions.cache.store import WorkCache

    opened: Counter = Counter()
    get = WorkCache.get
    monkeypatch.setattr(WorkCache, "get", lambda self, kind, key: opened.update([kind]) or get(self, kind, key))
    model = {"class_path": "extensions.ConvAutoencoder", "init_args": {"latent_dim": 4, "image_size": 64}}
    arguments = {"name": "tiny", "root": str(root), "normal_dir": "train/good", "normal_test_dir": "test/good",
                 "abnormal_dir": "test/bad", "num_workers": 0}  # fmt: skip
    data = {"class_path": "extensions.Folder", "init_args": arguments}
    found = []
    for epochs in (1, 4):
        opened.clear()
        one = Experiment(model=model, data=data, trainer={"max_epochs": epochs})
        record = run_experiment(one, tmp_path / "out", options=RunOptions(progress=False))
        assert record.status == "finished", record.error
        found.append(opened["images"])
    assert found[1] <= found[0]


def test_features_of_images_that_a_model_draws_on_are_not_computed_before(root, weights, tmp_path, work):
    one = experiment(root, weights, "Cdo")
    cold, warm = finish(one, tmp_path / "cold"), finish(one, tmp_path / "warm")
    assert cold.reused.train.on_disk() == {"images": 0, "features": 0, "of": 8}
    assert warm.reused.train.on_disk() == {"images": 8, "features": 0, "of": 8}
    assert warm.reused.test.on_disk() == {"images": 8, "features": 8, "of": 8}
    np.testing.assert_allclose(scores(tmp_path / "warm"), scores(tmp_path / "cold"), rtol=1e-4)
