"""The argument `align`: a template of the training images, aligned items, masks, names in the cache, refusals."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from PIL import Image

import extensions
from extensions.cache import open_cache
from extensions.cache.images import ImageSplit
from extensions.data import DatasetError, read_image
from extensions.data.checks.inspection import inspect_files
from extensions.data.datamodules.lies import lie_of_file
from extensions.data.errors import warn_once
from extensions.data.reading.image_files import read_mask
from extensions.data.straightening import aligned
from tests.turned_plates import moved, plate, save, write_plates


@pytest.fixture
def plates(tmp_path):
    return write_plates(tmp_path / "plates")


def data(root, **arguments):
    return extensions.MVTecAD(root, "", **({"name": "plates", "num_workers": 0, "align": True} | arguments))


def scatter(dataset) -> float:
    """Mean standard deviation of a pixel over the images of a data set, in its middle."""
    return float(
        np.std([dataset[index].image.numpy()[:, 20:76, 20:76] for index in range(len(dataset))], axis=0).mean()
    )


def test_training_and_test_images_lie_alike(plates):
    plain, straight = data(plates, align=None), data(plates)
    for one in (plain, straight):
        one.setup()
    assert plain.imaging.alignment is None
    assert scatter(straight.train_data) < 0.35 * scatter(plain.train_data)
    assert scatter(straight.test_data) < 0.5 * scatter(plain.test_data)
    assert straight.unaligned == []


def test_items_are_the_files_moved_by_how_they_lie(plates):
    found = data(plates)
    found.setup()
    path = found.train_data.samples.image_path[0]
    expected = aligned(read_image(path), found.imaging, lie_of_file(path, found.imaging))
    item = found.train_data[0]
    np.testing.assert_array_equal((item.image.numpy() * 255).round(), expected.transpose(2, 0, 1))


def test_masks_of_tests_stay_and_those_of_training_move_along(plates):
    found = data(plates, known_defects=1)
    found.setup()
    test = next(index for index in range(len(found.test_data)) if found.test_data.samples.label_index[index])
    row = found.test_data.samples.iloc[test]
    np.testing.assert_array_equal(found.test_data[test].gt_mask.numpy(), read_mask(row.mask_path))
    known = int(np.flatnonzero(found.train_data.samples["known"])[0])
    item = found.train_data[known]
    marked = item.image.numpy().mean(axis=0)[item.gt_mask.numpy() > 0]
    assert marked.mean() < 0.25  # the dark spot
    assert int(read_mask(found.train_data.samples.mask_path[known]).sum()) == pytest.approx(len(marked), abs=8)


def test_the_same_images_give_the_same_template_and_a_seed_another_draw(plates):
    first, again, few = data(plates), data(plates), data(plates, align={"n_images": 3}, seed=1)
    assert first.imaging == again.imaging
    assert few.imaging != first.imaging
    assert hash(first.imaging.alignment) == hash(again.imaging.alignment)


def test_images_in_the_cache_are_named_by_the_template(plates):
    keys = {}
    for name, one in (
        ("plain", data(plates, align=None)),
        ("aligned", data(plates)),
        ("few", data(plates, align={"n_images": 3})),
    ):
        one.setup()
        keys[name] = ImageSplit(one.test_data, open_cache(), None, inspect=inspect_files).keys[0]
    assert len(set(keys.values())) == 3


def test_an_image_that_cannot_be_aligned_is_counted_and_named(plates, caplog):
    rng = np.random.default_rng(5)
    Image.fromarray(rng.integers(0, 255, (96, 96, 3), dtype=np.uint8)).save(plates / "test/good/odd.png")
    found = data(plates)
    warn_once.cache_clear() if hasattr(warn_once, "cache_clear") else None
    with caplog.at_level(logging.WARNING):
        found.setup()
    assert found.unaligned == ["test/good/odd.png"]
    assert "1 of 15 images could not be aligned" in caplog.text
    assert "test/good/odd.png" in caplog.text


def test_images_with_nothing_in_common_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(6):
        save(tmp_path / "noise/good" / f"{index}.png", rng.integers(0, 255, (96, 96, 3), dtype=np.uint8))
    found = extensions.Folder("p", normal_dir="good", root=tmp_path / "noise", align=True)
    with pytest.raises(DatasetError, match=r"nothing in common .* leave align out"):
        found.setup()


def test_images_of_several_shapes_are_refused_with_their_names(plates):
    save(plates / "train/good/wide.png", np.concatenate([plate(np.random.default_rng(9))] * 2, axis=1))
    with pytest.raises((DatasetError, ValueError), match="one aspect ratio"):
        data(plates).setup()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"align": "yes"}, "expected true"),
        ({"align": {"n_image": 3}}, "n_images"),
        ({"align": {"n_images": 0}}, "1 or more"),
        ({"align": {"n_images": 2.5}}, "whole number"),
        ({"align": {"least": 2}}, "from 0 to 1"),
        ({"tiling": {"tile": 64}}, "align and tiling"),
        ({"roi": "foreground"}, "align and roi"),
        ({"border": 4}, "align and border"),
    ],
)
def test_what_cannot_be_is_refused_before_any_image_is_read(plates, arguments, match):
    with pytest.raises(ValueError, match=match):
        data(plates, **arguments)


def test_align_false_is_none(plates):
    assert data(plates, align=False).imaging.is_plain


def test_products_that_train_together_are_not_aligned(tmp_path):
    for name in ("one", "two"):
        rng = np.random.default_rng(len(name) + ord(name[0]))
        for index in range(6):
            image = moved(plate(rng), rng.uniform(-180, 180), (0, 0))
            save(tmp_path / name / ("train/good" if index < 4 else "test/good") / f"{index}.png", image)
    joined = extensions.MVTecAD(tmp_path, ["one", "two"], name="both", align=True)
    with pytest.raises(DatasetError, match=r"train together.*one_each"):
        joined.setup()
