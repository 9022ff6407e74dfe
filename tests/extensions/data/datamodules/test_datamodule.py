"""Datamodules split once, alike everywhere, and run through anomalib's engine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from anomalib import TaskType
from anomalib.data.utils import ValSplitMode

from extensions import Folder, MVTecAD
from extensions.data import DatasetError, fingerprint

MakeImage = Callable[..., Path]


def folder(root: Path, **options: object) -> Folder:
    arguments = {"abnormal_dir": "bad", "num_workers": 0}
    return Folder("product", "good", root=root, **(arguments | options))  # type: ignore[arg-type]


def splits(data: Folder) -> dict[str, list[str]]:
    data.setup()
    parts = {"train": data.train_data, "val": data.val_data, "test": data.test_data}
    return {name: [data.relative(path) for path in part.samples.image_path] for name, part in parts.items()}


def test_official_folders_are_used_whole(product: Path) -> None:
    data = folder(product, normal_test_dir="good_test", mask_dir="masks")
    assert {name: len(files) for name, files in splits(data).items()} == {"train": 10, "val": 8, "test": 8}
    assert data.task == TaskType.SEGMENTATION
    assert fingerprint(data).counts == {
        "n_train": 10,
        "n_test_normal": 3,
        "n_test_anomalous": 5,
        "n_masks": 5,
        "defect_kinds": {"dent": 2, "scratch": 3},
    }


def test_items_carry_masks_of_zeros_and_ones_and_zero_for_normal(product: Path) -> None:
    data = folder(product, normal_test_dir="good_test", mask_dir="masks")
    data.setup()
    for item in data.test_data:
        assert item.image.shape == (3, 64, 64)
        assert item.image.dtype == torch.float32
        assert int(item.gt_mask.sum()) == (256 if item.gt_label else 0)
    assert folder(product).task == TaskType.CLASSIFICATION


def test_values_equal_those_of_anomalibs_folder(product: Path) -> None:
    from anomalib.data import Folder as Stock

    stock = Stock("product", "good", root=product, normal_test_dir="good_test", val_split_mode="same_as_test")
    stock.setup()
    ours = folder(product, abnormal_dir=None, normal_test_dir="good_test")
    ours.setup()
    assert ours.train_data.samples.image_path.tolist() == stock.train_data.samples.image_path.tolist()
    for mine, theirs in zip(ours.train_data, stock.train_data, strict=True):
        torch.testing.assert_close(mine.image, theirs.image, rtol=0, atol=0)


def test_setup_called_by_hand_and_again_does_not_split_anew(product: Path) -> None:
    data = folder(product)
    before = splits(data)
    data.setup()
    data.setup("fit")
    assert splits(data) == before


def test_splits_are_equal_in_every_process_and_follow_the_seed(product: Path) -> None:
    code = (
        "from extensions.data.splits import held_out\n"
        "print(held_out([f'{i % 9}' for i in range(20)], 0.4, seed=3, labels=[i % 2 for i in range(20)]).tolist())"
    )
    choices = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(choices) == 1
    assert splits(folder(product)) == splits(folder(product, seed=0))
    assert splits(folder(product)) != splits(folder(product, seed=1))


def test_good_images_are_held_out_by_the_ratio_and_zero_is_zero(product: Path) -> None:
    assert len(splits(folder(product, test_split_ratio=0.3))["test"]) == 3 + 5
    assert len(splits(folder(product, test_split_ratio=0.0))["train"]) == 10
    assert len(splits(folder(product, test_split_mode="none"))["test"]) == 5
    whole = folder(product, test_split_mode="none", normal_test_dir="good_test")
    assert len(splits(whole)["test"]) == 3 + 5


def test_copies_of_an_image_are_not_torn_between_training_and_test(product: Path, image: MakeImage) -> None:
    for index in range(8):
        image(product / "good" / f"copy{index}.png", seed=7)
    for seed in range(5):
        in_test = [name for name in splits(folder(product, test_split_ratio=0.5, seed=seed))["test"] if "copy" in name]
        assert len(in_test) in {0, 8}


@pytest.mark.parametrize(
    ("mode", "n_train", "n_val", "n_test"),
    [
        ("same_as_test", 10, 8, 8),
        ("none", 10, 0, 8),
        ("from_test", 10, 4, 4),
        ("from_train", 5, 5, 8),
        (ValSplitMode.FROM_TRAIN, 5, 5, 8),
        ("synthetic", 5, 5, 8),
    ],
)
def test_validation_modes(product: Path, mode: str, n_train: int, n_val: int, n_test: int) -> None:
    parts = splits(folder(product, normal_test_dir="good_test", val_split_mode=mode))
    assert {name: len(files) for name, files in parts.items()} == {"train": n_train, "val": n_val, "test": n_test}
    if mode != "same_as_test":
        assert not set(parts["train"]) & set(parts["val"]) | set(parts["val"]) & set(parts["test"])


def test_drawn_validation_defects_are_the_same_each_time(product: Path) -> None:
    data = [folder(product, val_split_mode="synthetic") for _ in range(2)]
    assert fingerprint(data[0]).sha256 == fingerprint(data[1]).sha256
    assert (data[0].val_data.samples.label_index == 1).sum() == 2


def test_good_images_alone_get_a_synthetic_test_set(product: Path) -> None:
    data = folder(product, abnormal_dir=None, test_split_mode="synthetic", test_split_ratio=0.4)
    data.setup()
    assert data.synthetic
    assert data.test_data.samples.label_index.tolist().count(1) == 2
    assert fingerprint(data).counts["n_masks"] == 2


def test_a_broken_image_is_reported_before_anything_is_drawn(product: Path) -> None:
    for path in ("good/000.png", "good_test/000.png"):
        (product / path).write_bytes(b"")
    with pytest.raises(DatasetError, match=r"good/000\.png.*good_test/000\.png"):
        folder(product, normal_test_dir="good_test", test_split_mode="synthetic").setup()


def test_wrong_modes_and_ratios_are_refused_with_the_right_ones(product: Path) -> None:
    with pytest.raises(ValueError, match=r"'from_dir'; expected one of same_as_test, from_test"):
        folder(product, val_split_mode="from_dir")
    with pytest.raises(ValueError, match=r"test_split_ratio is 1\.5"):
        folder(product, test_split_ratio=1.5)
    with pytest.raises(ValueError, match="normal_dir"):
        Folder("product", [])


def test_hidden_files_and_nested_folders_of_other_roles_are_left_out(product: Path, image: MakeImage) -> None:
    image(product / "good" / ".thumbs" / "000.png")
    image(product / "good" / "._000.png")
    image(product / "good" / "test" / "900.PNG")
    (product / "good" / "notes.txt").write_text("mind the light")
    parts = splits(folder(product, normal_test_dir="good/test"))
    assert len(parts["train"]) == 10
    assert "good/test/900.PNG" in parts["test"]


def test_several_folders_of_each_role(product: Path) -> None:
    data = folder(
        product,
        abnormal_dir=["bad/scratch", product / "bad" / "dent"],
        mask_dir=["masks/dent", "masks/scratch"],
        normal_test_dir=["good_test"],
    )
    data.setup()
    assert fingerprint(data).counts["defect_kinds"] == {"dent": 2, "scratch": 3}
    for row in data.test_data.samples.itertuples():
        assert Path(row.image_path).parent.name in row.mask_path or not row.label_index


def test_paths_with_umlauts_spaces_and_home(product: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strange = product.rename(product.parent / "datä ü 空 (1)")
    data = folder(strange, mask_dir="masks")
    data.setup()
    batch = next(iter(data.test_dataloader()))
    assert batch.image.shape[1:] == (3, 64, 64)
    monkeypatch.setenv("HOME", str(strange.parent))
    assert splits(folder(Path("~") / strange.name, mask_dir="masks")) == splits(data)


def test_relative_roots_start_at_the_data_folder(product: Path, mvtec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_DATA", str(product.parent))
    assert folder(Path("product")).root == product
    data = MVTecAD()
    assert (data.root, data.category, data.name) == (mvtec, "bottle", "MVTecAD")
    monkeypatch.delenv("WORKBENCH_DATA")
    monkeypatch.chdir(product.parent)
    assert folder(Path("product")).root == product


def test_every_class_is_built_by_jsonargparse_from_yaml() -> None:
    from anomalib.data import AnomalibDataModule
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(AnomalibDataModule, "data")
    for name, arguments in {
        "Folder": {"name": "a", "normal_dir": ["x", "y"], "extensions": [".png"], "test_split_ratio": 0.1},
        "MVTecAD": {"root": "mvtec", "category": "cable", "name": "b"},
        "Elpv": {"cells": "poly", "n_train": 3},
        "ElpvSynthetic": {"n_test": 4},
    }.items():
        common = {"train_batch_size": 3, "num_workers": 0, "seed": 5, "val_split_mode": "none"}
        spec = {"class_path": f"extensions.{name}", "init_args": arguments | common}
        data = parser.instantiate_classes(parser.parse_object({"data": spec})).data
        assert (type(data).__name__, data.train_batch_size, data.seed) == (name, 3, 5)
        assert data.val_split_mode == ValSplitMode.NONE


@pytest.mark.parametrize("mode", ["same_as_test", "none"])
def test_a_stock_engine_trains_tests_and_predicts(product: Path, tmp_path: Path, mode: str) -> None:
    from anomalib.engine import Engine
    from anomalib.models import Padim
    from anomalib.pre_processing import PreProcessor
    from torchvision.transforms.v2 import Resize

    data = folder(product, mask_dir="masks", val_split_mode=mode)
    model = Padim(
        backbone="test_resnet", layers=["layer1"], n_features=8, pre_trained=False,
        pre_processor=PreProcessor(transform=Resize((64, 64))), visualizer=False,
    )  # fmt: skip
    options = {"enable_progress_bar": False, "logger": False, "enable_model_summary": False}
    engine = Engine(default_root_dir=tmp_path / "out", accelerator="cpu", **options)
    data.setup()
    before = splits(data)
    engine.fit(model, datamodule=data)
    results = engine.test(model, datamodule=data)
    predictions = engine.predict(model, datamodule=data)
    assert splits(data) == before
    assert {"image_AUROC", "pixel_AUROC"} <= set(results[0])
    assert sum(len(batch.image_path) for batch in predictions) == 7
