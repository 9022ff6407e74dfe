"""Datamodules that give tiles to train on and whole images to test on."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from extensions import Folder, MVTecAD, Products
from extensions.data import DatasetError, fingerprint, read_image
from extensions.data.datamodules import whole_images
from extensions.data.tiling.resizing import resized_image, resized_pixels

TILING = {"tile": 32, "overlap": 8}
ARGUMENTS = {
    "normal_dir": "good", "normal_test_dir": "good_test", "abnormal_dir": "bad", "mask_dir": "masks", "num_workers": 0,
}  # fmt: skip


def folder(root, **arguments) -> Folder:
    data = Folder("product", root=root, **(ARGUMENTS | {"tiling": TILING} | arguments))
    data.setup()
    return data


def test_training_items_are_the_tiles_of_each_image_and_test_items_whole(product):
    data = folder(product)
    assert len(data.train_data) == 10 * 9
    assert len(data.train_data.samples) == 10
    for index in (0, 4, 8, 9, 89):
        item = data.train_data[index]
        top, left = ((0, 24, 32)[place] for place in divmod(index % 9, 3))
        expected = read_image(data.train_data.samples.image_path[index // 9])[top : top + 32, left : left + 32]
        np.testing.assert_array_equal((item.image.numpy() * 255).round(), expected.transpose(2, 0, 1))
        assert item.image_path == data.train_data.samples.image_path[index // 9]
    with pytest.raises(IndexError):
        data.train_data[90]
    assert next(iter(data.train_dataloader())).image.shape == (32, 3, 32, 32)
    assert [tuple(batch.image.shape) for batch in data.test_dataloader()] == [(1, 3, 64, 64)] * 8


def test_names_counts_and_fingerprint_are_those_of_images(product):
    plain, tiled = (fingerprint(folder(product, tiling=tiling, k_shot=4)) for tiling in (None, TILING))
    assert tiled.sha256 == plain.sha256
    assert tiled.counts == plain.counts
    assert tiled.counts["n_train"] == 4


def test_an_image_is_decoded_once_however_its_tiles_are_shuffled(product, monkeypatch):
    read = []
    monkeypatch.setattr(whole_images, "read_image", lambda path: read.append(path) or read_image(path))
    for _ in range(2):  # the second one finds the files of the first
        data = folder(product)
        for index in np.random.default_rng(0).permutation(len(data.train_data)):
            data.train_data[int(index)]
    assert len(read) == len(set(read)) == 10


def test_without_a_cache_the_tiles_are_the_same(product, monkeypatch):
    expected = [folder(product).train_data[index].image for index in range(20)]
    monkeypatch.setenv("WORKBENCH_CACHE_LIMIT", "0")
    without = folder(product).train_data
    assert not without._whole._cache.enabled
    for index, image in enumerate(expected):
        torch.testing.assert_close(without[index].image, image, atol=0, rtol=0)


def test_a_part_of_the_samples_has_the_tiles_of_its_images(product):
    train = folder(product).train_data
    assert len(train) == 90
    part = copy.copy(train)
    part.samples = train.samples.iloc[3:5].reset_index(drop=True)
    part.samples.attrs.update(train.samples.attrs)
    assert len(part) == 18
    assert len(train) == 90
    torch.testing.assert_close(part[9].image, train[4 * 9].image)
    assert len(part.whole()) == 2
    assert part.whole()[0].image.shape == (3, 64, 64)


def test_held_out_training_images_are_tiles_and_other_validation_images_whole(product):
    assert len(folder(product, val_split_mode="from_train", val_split_ratio=0.2).val_data) == 2 * 9
    assert len(folder(product, val_split_mode="from_test").val_data) == 4


def test_a_tile_of_a_known_defect_is_one_where_its_mask_says_so(product):
    data = folder(product, known_defects=2)
    labels = [(int(item.gt_label), bool(item.gt_mask.any())) for item in data.train_data]
    assert all(label == marked for label, marked in labels)
    assert 0 < sum(label for label, _ in labels) < 2 * 9


def test_resized_images_are_cut_and_are_of_eight_bits(product):
    data = folder(product, tiling={**TILING, "resize": [48, 40]})
    assert len(data.train_data) == 10 * 4
    whole = resized_pixels(read_image(data.train_data.samples.image_path[0]), (48, 40))
    np.testing.assert_array_equal((data.train_data[3].image.numpy() * 255).round(), whole[16:, 8:].transpose(2, 0, 1))
    image = data.train_data.whole()[0].image
    np.testing.assert_array_equal((resized_image(image, (48, 40)) * 255).round(), whole.transpose(2, 0, 1))


def test_an_image_that_is_smaller_than_a_tile_is_named(product, image):
    image(product / "bad" / "dent" / "narrow.png", size=(20, 64))
    with pytest.raises(
        DatasetError, match=r"bad/dent/narrow.png is 64 x 20 px \(height x width\), smaller than a tile"
    ):
        folder(product, mask_dir=None)
    assert len(folder(product, mask_dir=None, tiling={**TILING, "resize": 64}).test_data) == 9


def test_products_are_cut_alike(product, mvtec):
    one = Folder("product", root=product, tiling=TILING, **ARGUMENTS)
    with pytest.raises(ValueError, match="tiling stands in the product 'product'; give it to data set 'both'"):
        Products([one, MVTecAD(mvtec)], name="both")
    parts = [Folder("product", root=product, **ARGUMENTS), MVTecAD(mvtec)]
    both = Products(parts, name="both", tiling=TILING, num_workers=0)
    both.setup()
    assert len(both.train_data) == 14 * 9
    assert both.train_data[0].image.shape == (3, 32, 32)
    small = Products(parts, name="both", tiling={"tile": 65, "overlap": 8})
    with pytest.raises(DatasetError, match=r"is 64 x 64 px .*smaller than a tile of 65 x 65"):
        small.setup()
