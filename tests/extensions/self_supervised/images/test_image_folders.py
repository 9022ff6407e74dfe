import logging
import os
import random
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from extensions.data import DatasetError
from extensions.self_supervised import ImageFolders
from extensions.self_supervised.images import image_folders as images
from extensions.self_supervised.images.image_folders import Decoded
from extensions.self_supervised.images.image_list import find_images


def seen(image: np.ndarray, label: int, other) -> dict:
    """A view that shows what was drawn for it."""
    return {"draw": torch.rand(()), "label": torch.tensor(label), "mean": torch.tensor(float(image.mean()))}


def test_a_class_is_a_subfolder_or_the_folder_itself(parts, monkeypatch):
    found = find_images([str(parts)])
    assert (len(found), found.classes) == (12, ("spots", "stripes"))
    assert found.names[0] == "parts/spots/0.png"
    flat = find_images([str(parts / "spots")])
    assert (len(flat), flat.classes, set(flat.labels)) == (6, ("spots",), {0})
    monkeypatch.setenv("WORKBENCH_DATA", str(parts))
    assert find_images(["spots", "stripes"]).classes == ("spots/spots", "stripes/stripes")


def test_other_images_have_another_checksum(parts, tmp_path):
    assert find_images([parts]).sha256 == find_images([parts]).sha256
    assert find_images([parts]).sha256 != find_images([parts / "spots"]).sha256


def test_masks_and_files_of_other_endings_are_not_learned_from_and_told(parts, tmp_path, caplog):
    root = tmp_path / "parts"
    shutil.copytree(parts, root)
    n_images = len(find_images([root]))
    mask = Image.new("L", (32, 32))
    mask.paste(255, (4, 4, 9, 9))
    (root / "masks").mkdir()
    for name in ("spots/0_mask.png", "masks/0.png", "stripes/new.gif"):
        mask.save(root / name)
    with caplog.at_level(logging.WARNING):
        found = find_images([root])
    assert (len(found), found.classes) == (n_images, ("spots", "stripes"))
    for told in ("(1): parts/spots/0_mask.png", "(1): parts/masks", "parts/stripes/new.gif (1 ending in .gif)"):
        assert told in caplog.text


def test_folders_without_use_are_refused(parts, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "one").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "one" / "a.png")
    for folders, expected in (
        ([], "expected a list of folders"),
        ([tmp_path / "gone"], "no such folder"),
        ([tmp_path / "empty"], "no images found"),
        ([tmp_path / "one"], "a single image"),
        ([parts, parts / "spots"], "count twice"),
    ):
        with pytest.raises(ValueError, match=expected):
            find_images(folders)


def test_all_images_that_cannot_be_read_are_counted_and_the_first_are_named(tmp_path):
    for index in range(6):
        (tmp_path / f"{index}.png").write_bytes(b"no image" if index % 2 else b"")
    with pytest.raises(ValueError, match=r"6 of 6 images cannot be read: .*0\.png.*and 3 more; remove them"):
        Decoded(sorted(tmp_path.glob("*.png")), 32)


def test_images_are_reduced_to_their_shorter_side_and_never_enlarged(tmp_path):
    for index, size in enumerate(((200, 100), (30, 20))):
        Image.new("RGB", size, (255, 0, 0)).save(tmp_path / f"{index}.png")
    decoded = Decoded(sorted(tmp_path.glob("*.png")), 48)
    assert decoded[0].shape == (48, 96, 3)
    assert decoded[1].shape == (20, 30, 3)


def test_fewer_images_than_a_batch_are_an_error_with_a_remedy(parts):
    with pytest.raises(ValueError, match=r"found 12 images.*batch_size to 12 or less"):
        ImageFolders([str(parts)], batch_size=13).prepare(seen, seed=0)


@pytest.mark.parametrize("changed", [{"image_size": 4}, {"batch_size": 1}, {"num_workers": -1}])
def test_numbers_out_of_range_are_named(parts, changed):
    with pytest.raises(ValueError, match=next(iter(changed))):
        ImageFolders([str(parts)], **changed)


def test_draws_depend_on_seed_epoch_and_image_and_not_on_workers(parts):
    def draws(workers: int, *, epoch: int = 0, seed: int = 0) -> list[float]:
        data = ImageFolders([str(parts)], image_size=32, batch_size=4, num_workers=workers)
        data.prepare(seen, seed=seed)
        data.dataset.epoch = epoch
        return [float(x) for batch in data.train_dataloader() for x in batch["draw"]]

    expected = draws(0)
    assert draws(2) == expected
    assert draws(0, epoch=1) != expected
    assert draws(0, seed=1) != expected


def test_making_views_leaves_the_global_generators_as_they_were(parts):
    data = ImageFolders([str(parts)], image_size=32, batch_size=4, num_workers=0)
    data.prepare(seen, seed=0)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    data.dataset[0]
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1] == np.random.get_state()[1]).all()  # noqa: NPY002
    assert states[2] == random.getstate()


def test_an_epoch_shows_every_image_once_and_goes_on_where_it_stopped(parts):
    data = ImageFolders([str(parts)], image_size=32, batch_size=4, num_workers=0)
    data.prepare(seen, seed=0)
    whole = [float(data.dataset[i]["mean"]) for i in range(12)]
    assert len(set(whole)) == 12
    data.dataset.start = 8
    assert [float(data.dataset[i]["mean"]) for i in range(4)] == whole[8:]


def test_a_name_that_is_not_utf8_is_told_before_any_work(parts, tmp_path):
    for index in range(3):
        shutil.copy(parts / "spots" / f"{index}.png", tmp_path / os.fsdecode(b"Stra\xdfe%d.png" % index))
    with pytest.raises(DatasetError, match=r"not UTF-8 \(3\): .*Stra\\xdfe0\.png.*; rename them"):
        find_images([tmp_path])


@pytest.mark.parametrize("memory", [images.MEMORY, 0])
def test_low_16_bit_images_are_told_whether_kept_or_read_again(tmp_path, caplog, monkeypatch, memory):
    monkeypatch.setattr(images, "MEMORY", memory)
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, largest in zip(paths, (65535, 4000, 3000), strict=True):
        Image.fromarray(np.full((16, 16), largest, np.uint16)).save(path)
    decoded = Decoded(paths, 8)
    assert [decoded[index].max() for index in range(3)] == [255, 16, 12]
    (told,) = [record.message for record in caplog.records if "lowest sixteenth" in record.message]
    assert "(largest value 4000 of 65535: 12 bits stored in 16)" in told
    assert told.startswith("2 of 3" if memory else f"{paths[1]}, and perhaps others: ")


def test_a_subfolder_of_each_class_is_all_that_is_taken_and_classes_are_left_out_by_name(parts, tmp_path):
    for product in ("cans", "nuts", "lids"):
        shutil.copytree(parts / "spots", tmp_path / "line" / product / "train" / "good")
        shutil.copytree(parts / "stripes", tmp_path / "line" / product / "test" / "bent")
    line = tmp_path / "line"
    found = find_images([line], subfolder="train/good")
    assert (found.classes, len(found)) == (("cans", "lids", "nuts"), 18)
    assert all("/train/good/" in name for name in found.names)
    assert find_images([line], subfolder="train/good", leave_out=["lids"]).classes == ("cans", "nuts")
    own = find_images([line / "cans"], subfolder="train/good")
    assert (own.classes, len(own)) == (("cans",), 6)
    both = find_images([line / "cans", line / "nuts"], subfolder="train/good", leave_out=["cans"])
    assert both.classes == ("nuts/nuts",)
    for changed, expected in (
        ({"leave_out": ["lid"]}, r"no class 'lid' among cans, lids, nuts; did you mean lids\?"),
        ({"leave_out": ["cans", "nuts", "lids"]}, "all classes are left out"),
        ({"subfolder": "train/ok"}, "line: no 'train/ok' in cans, lids, nuts; expected it in every folder"),
    ):
        with pytest.raises(ValueError, match=expected):
            find_images([line], **({"subfolder": "train/good"} | changed))
    for changed in ({"subfolder": "../other"}, {"leave_out": "cans"}):
        with pytest.raises(ValueError, match=next(iter(changed))):
            ImageFolders([str(line)], **changed)
