"""Labelled images of a probe: what is read, and what is refused with the file or folder and the remedy in it."""

import hashlib
import os
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from extensions.data.errors import DatasetError, DatasetMissingError
from extensions.self_supervised.probe.probe_data import read_probe_data


def put(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 10, 3), value, np.uint8)).save(path)


@pytest.fixture
def tree(tmp_path):
    """train (2 of cap, 1 of nut), test (1 of each) and validation (1 of nut), each image of its own grey."""
    root = tmp_path / "parts"
    names = ("train/cap/a", "train/cap/b", "train/nut/a", "test/cap/a", "test/nut/a", "validation/nut/a")
    for value, name in enumerate(names):
        put(root / f"{name}.png", 10 * value)
    return root


def test_folders_are_classes(tree):
    data = read_probe_data(tree)
    assert (data.name, data.classes) == ("parts", ("cap", "nut"))
    assert {split: images.labels.tolist() for split, images in data.splits.items()} == {
        "train": [0, 0, 1], "test": [0, 1], "validation": [1],
    }  # fmt: skip
    image = data.splits["train"].read(2)
    assert (image.shape, image.dtype, set(image.ravel())) == ((8, 10, 3), np.uint8, {20})


def test_a_relative_root_starts_at_the_data_folder(tree, monkeypatch):
    monkeypatch.setenv("WORKBENCH_DATA", str(tree.parent))
    assert len(read_probe_data("parts", name="mine").splits["train"]) == 3


def test_names_need_not_be_utf8(tree):
    (tree / "train/cap/a.png").rename(tree / os.fsdecode(b"train/cap/\xff.png"))
    assert len(read_probe_data(tree).splits["train"]) == 3


def test_validation_is_optional(tree):
    shutil.rmtree(tree / "validation")
    assert set(read_probe_data(tree).splits) == {"train", "test"}


def test_the_hash_tells_images_and_classes_but_not_where_they_lie(tree):
    before = read_probe_data(tree).sha256
    assert read_probe_data(tree.rename(tree.parent / "moved")).sha256 == before
    (tree.parent / "moved").rename(tree)
    (tree / "train/cap/b.png").rename(tree / "train/nut/b.png")
    moved = read_probe_data(tree).sha256
    put(tree / "test/cap/a.png", 200)
    assert len({before, moved, read_probe_data(tree).sha256}) == 3


def test_a_test_image_that_was_learned_from_is_told(tree, caplog):
    read_probe_data(tree)
    assert not caplog.records
    shutil.copy(tree / "train/cap/a.png", tree / "test/cap/again.png")
    read_probe_data(tree)
    assert "1 test images are also in training, such as" in caplog.text
    assert "again.png" in caplog.text
    caplog.clear()
    Image.open(tree / "train/cap/b.png").save(tree / "test/cap/resaved.bmp")
    read_probe_data(tree)
    assert "2 test images are also in training" in caplog.text


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: shutil.rmtree(root / "train"), "there is no folder .*train; expected train/<class>"),
        (lambda root: shutil.rmtree(root / "test"), "there is no folder .*test; expected train/<class>"),
        (lambda root: [shutil.rmtree(root / "train" / kind) for kind in ("cap", "nut")], "train has no class;"),
        (lambda root: shutil.rmtree(root / "train/nut"), "train has the one class 'cap'; expected"),
        (lambda root: (root / "train/zip").mkdir(), "3 images in 3 classes, and none of zip; put"),
        (lambda root: put(root / "test/bolt/a.png"), r"test has bolt, which is no class of train \(cap, nut\)"),
        (lambda root: put(root / "validation/bolt/a.png"), "validation has bolt, which is no class of train"),
        (lambda root: [(root / f"test/{kind}/a.png").unlink() for kind in ("cap", "nut")], "test has no images"),
    ],
)
def test_folders_that_cannot_be_probed_are_refused(tree, spoil, message):
    spoil(tree)
    with pytest.raises(DatasetError, match=message):
        read_probe_data(tree)


def test_images_that_cannot_be_read_are_named_all_at_once(tree):
    (tree / "train/cap/b.png").write_bytes(b"no image")
    (tree / "test/nut/a.png").write_bytes(b"")
    with pytest.raises(DatasetError, match="replace or delete them") as caught:
        read_probe_data(tree)
    assert "train/cap/b.png (not an image in any known format)" in str(caught.value)
    assert "test/nut/a.png (the file is empty (0 bytes))" in str(caught.value)


def test_an_unknown_layout_is_refused(tree):
    with pytest.raises(ValueError, match=r"data.layout is 'imagenet'; expected one of folders, cifar10, stl10"):
        read_probe_data(tree, layout="imagenet")


@pytest.mark.parametrize(("layout", "folder"), [("cifar10", "cifar-10-batches-py"), ("stl10", "stl10_binary")])
def test_a_data_set_that_is_not_there_is_not_downloaded(tmp_path, layout, folder):
    with pytest.raises(DatasetMissingError, match=f"unpacked in .*{folder}: nothing is downloaded here"):
        read_probe_data(tmp_path, layout=layout)


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_cifar10_is_read_as_torchvision_lays_it_out(tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR10

    folder, pixels = tmp_path / "cifar-10-batches-py", np.random.default_rng(0).integers(256, size=(4, 3, 32, 32))
    folder.mkdir()
    rows = pixels.astype(np.uint8).reshape(4, -1)
    for name, part in (("data_batch_1", slice(0, 3)), ("test_batch", slice(3, 4))):
        content = {"data": rows[part], "labels": [0, 1, 1, 0][part]}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["cat", "dog"]}))
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", md5(folder / "data_batch_1")]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5(folder / "test_batch")]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": md5(folder / "batches.meta")}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    data = read_probe_data(tmp_path, layout="cifar10", name="cifar")
    assert data.classes == ("cat", "dog")
    assert [data.splits[split].labels.tolist() for split in ("train", "test")] == [[0, 1, 1], [0]]
    np.testing.assert_array_equal(data.splits["test"].read(0), pixels[3].transpose(1, 2, 0))
    (folder / "test_batch").write_bytes(b"changed")  # is not unpickled
    with pytest.raises(DatasetMissingError, match="CIFAR10 is not whole"):
        read_probe_data(tmp_path, layout="cifar10")


def test_stl10_is_read_as_torchvision_lays_it_out(tmp_path, monkeypatch):
    from torchvision.datasets import STL10

    folder, pixels = tmp_path / "stl10_binary", np.random.default_rng(0).integers(256, size=(3, 96, 96, 3))
    folder.mkdir()
    columns_first = pixels.astype(np.uint8).transpose(0, 3, 2, 1)  # (N, 3, W, H)
    (folder / "class_names.txt").write_text("cat\ndog\n")
    for name, part in (("train", slice(0, 2)), ("test", slice(2, 3))):
        columns_first[part].tofile(folder / f"{name}_X.bin")
        np.array([1, 2, 2], np.uint8)[part].tofile(folder / f"{name}_y.bin")
        files = [[f"{name}_{kind}.bin", md5(folder / f"{name}_{kind}.bin")] for kind in "Xy"]
        monkeypatch.setattr(STL10, f"{name}_list", files)
    data = read_probe_data(tmp_path, layout="stl10")
    assert data.classes == ("cat", "dog")
    assert [data.splits[split].labels.tolist() for split in ("train", "test")] == [[0, 1], [1]]
    np.testing.assert_array_equal(data.splits["train"].read(1), pixels[1])
