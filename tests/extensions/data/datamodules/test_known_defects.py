"""Known defects: trained on with label and mask, never tested, on one test set whatever their number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from extensions import ContaminatedFolder, Folder, MVTecAD
from extensions.cache.images import ImageSplit
from extensions.cache.store import WorkCache
from extensions.data import DatasetError, DatasetMissingError, fingerprint
from extensions.data.checks.inspection import inspect_files
from extensions.data.reading.image_files import read_mask

MakeImage = Callable[..., Path]
KINDS = {"scratch": 8, "dent": 4}


@pytest.fixture
def parts(tmp_path: Path, image: MakeImage, mask: MakeImage) -> Path:
    """good (10), good_test (4), bad/<kind> and masks/<kind> by `KINDS`, known/dent (2) with masks."""
    root = tmp_path / "parts"
    for folder, count in (("good", 10), ("good_test", 4)):
        for index in range(count):
            image(root / folder / f"{index:03d}.png")
    for kind, count in KINDS.items():
        for index in range(count):
            image(root / "bad" / kind / f"{index:03d}.png")
            mask(root / "masks" / kind / f"{index:03d}_mask.png")
    for index in range(2):
        image(root / "known" / "dent" / f"{index:03d}.png")
        mask(root / "known" / "ground_truth" / "dent" / f"{index:03d}_mask.png")
    return root


def folder(root: Path, kind: type[Folder] = Folder, **options: object) -> Folder:
    arguments = {"normal_test_dir": "good_test", "abnormal_dir": "bad", "mask_dir": "masks", "num_workers": 0}
    data = kind("parts", "good", root=root, **(arguments | options))
    data.setup()
    return data


def known(data: Folder) -> pd.DataFrame:
    samples = data.train_data.samples
    return samples[samples["known"]]


def images_tested(data: Folder) -> set[str]:
    return set(data.test_data.samples["image_path"])


def test_known_defects_train_with_label_and_mask_and_are_not_tested(parts):
    data = folder(parts, known_defects=3)
    found = known(data)
    assert (found["label_index"] == 1).all()
    assert (found["mask_path"] != "").all()
    assert Counter(found["kind"]) == {"scratch": 2, "dent": 1}
    assert not set(found["image_path"]) & images_tested(data)
    assert len(images_tested(data)) == 4 + 12 - 3
    items = [data.train_data[i] for i in range(len(data.train_data))]
    assert sum(int(item.gt_label) for item in items) == 3
    assert all(bool(item.gt_mask.any()) == bool(item.gt_label) for item in items)


def test_runs_with_and_without_known_defects_share_one_test_set(parts):
    runs = [folder(parts, known_defects=n, set_aside=5) for n in (0, 2, 5)]
    assert len({frozenset(images_tested(data)) for data in runs}) == 1
    few, many = (set(known(data)["image_path"]) for data in runs[1:])
    assert (len(few), len(many)) == (2, 5)
    assert few < many
    assert not len(known(runs[0]))
    assert len({fingerprint(data).sha256 for data in runs}) == 3
    assert fingerprint(runs[2]).counts["known_kinds"] == {"dent": 2, "scratch": 3}
    assert "known_kinds" not in fingerprint(runs[0]).counts


def test_draw_goes_by_the_seed_and_by_content_and_not_by_the_seed_of_the_run(parts):
    first = known(folder(parts, known_defects=3))["image_path"].tolist()
    again = Folder("parts", "good", root=parts, normal_test_dir="good_test", abnormal_dir="bad", mask_dir="masks",
                   known_defects=3)  # fmt: skip
    again.take_run_seed(7)
    again.setup()
    assert known(again)["image_path"].tolist() == first
    assert any(known(folder(parts, known_defects=3, seed=s))["image_path"].tolist() != first for s in (1, 2, 3))
    old = parts / "bad" / "scratch"
    contents = {Path(path).read_bytes() for path in first}
    for index, path in enumerate(sorted(old.iterdir(), reverse=True)):
        path.rename(old / f"new{index}.png")
        mask = parts / "masks" / "scratch" / f"{path.stem}_mask.png"
        mask.rename(mask.with_name(f"new{index}_mask.png"))
    assert {Path(path).read_bytes() for path in known(folder(parts, known_defects=3))["image_path"]} == contents


def test_known_defects_are_neither_held_out_nor_drawn_for_k_shot(parts):
    plain = folder(parts, val_split_mode="from_train", val_split_ratio=0.2, k_shot=4, set_aside=5)
    data = folder(parts, val_split_mode="from_train", val_split_ratio=0.2, k_shot=4, known_defects=5)
    assert (data.val_data.samples["label_index"] == 0).all()
    assert set(data.val_data.samples["image_path"]) == set(plain.val_data.samples["image_path"])
    good = data.train_data.samples[~data.train_data.samples["known"]]
    assert set(good["image_path"]) == set(plain.train_data.samples["image_path"])
    assert data.k_shot_images == plain.k_shot_images
    assert len(known(data)) == 5


def test_contaminated_images_pass_for_normal_beside_known_defects(parts):
    options = {"largest_ratio": 0.25, "contamination_ratio": 0.25}
    plain = folder(parts, ContaminatedFolder, **options)
    data = folder(parts, ContaminatedFolder, known_defects=3, **options)
    assert data.injected == plain.injected
    assert data.contamination["ratio"] == plain.contamination["ratio"]
    assert not data.injected & set(known(data)["image_path"])
    assert not known(data)["injected"].any()
    samples = data.train_data.samples
    assert (samples["label_index"] == samples["known"]).all()
    assert len(images_tested(data)) == len(images_tested(plain)) - 3


def test_defects_of_a_folder_are_all_trained_on(parts):
    data = folder(parts, known_defects_dir="known")
    found = known(data)
    assert [data.relative(path) for path in found["image_path"]] == ["known/dent/000.png", "known/dent/001.png"]
    assert set(found["kind"]) == {"dent"}
    assert all(Path(path).is_file() for path in found["mask_path"])
    assert images_tested(data) == images_tested(folder(parts))
    both = folder(parts, known_defects_dir="known", known_defects=2)
    assert len(known(both)) == 4
    sums = [fingerprint(one).sha256 for one in (folder(parts), data, both)]
    assert len(set(sums)) == 3


def test_content_of_a_known_defects_mask_moves_the_fingerprint(parts, mask):
    before = fingerprint(folder(parts, known_defects_dir="known")).sha256
    mask(parts / "known/ground_truth/dent/000_mask.png").write_bytes(
        (parts / "known/ground_truth/dent/001_mask.png").read_bytes()
    )
    assert fingerprint(folder(parts, known_defects_dir="known")).sha256 == before
    from PIL import Image

    Image.new("L", (64, 64)).save(parts / "half.png")
    marks = Image.open(parts / "half.png")
    marks.paste(255, (0, 0, 8, 8))
    marks.save(parts / "known/ground_truth/dent/000_mask.png")
    assert fingerprint(folder(parts, known_defects_dir="known")).sha256 != before


def test_layout_of_mvtec_takes_a_folder_of_known_defects(parts, tmp_path):
    root = tmp_path / "mvtec" / "cap"
    for source, target in (("good", "train/good"), ("good_test", "test/good"), ("bad/dent", "test/dent"),
                           ("masks/dent", "ground_truth/dent"), ("known", "known")):  # fmt: skip
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        (root / target).symlink_to(parts / source)
    data = MVTecAD(root=tmp_path / "mvtec", category="cap", num_workers=0, known_defects=2, known_defects_dir="known")
    data.setup()
    assert len(known(data)) == 4
    assert len(images_tested(data)) == 4 + 4 - 2


def test_test_images_without_masks_get_none_from_known_defects(parts):
    data = Folder("parts", "good", root=parts, normal_test_dir="good_test", abnormal_dir="bad", num_workers=0,
                  known_defects_dir="known")  # fmt: skip
    data.setup()
    assert data.task.value == "classification"
    assert data.test_data[0].gt_mask is None
    assert fingerprint(data).counts["n_masks"] == 0
    train = data.train_data
    assert [bool(train[i].gt_mask.any()) for i in range(len(train))] == train.samples["known"].tolist()


def test_masks_of_training_images_survive_the_cache(parts, tmp_path):
    data = folder(parts, known_defects=3)
    cache = WorkCache(tmp_path / "work")
    for _ in range(2):  # filled, then read
        split = ImageSplit(data.train_data, cache, None, inspect=inspect_files)
        for index, row in enumerate(data.train_data.samples.itertuples()):
            item = split[index]
            assert int(item.gt_label) == row.label_index
            expected = read_mask(row.mask_path) if row.known else 0 * item.gt_mask.numpy()
            assert (item.gt_mask.numpy() == expected).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"known_defects": 11}, "only 10 can be had .one of each of 2 kinds stays"),
        ({"set_aside": 11}, "known_defects is 0 and 11 are set aside"),
    ],
)
def test_too_many_known_defects_are_refused_with_how_many_there_are(parts, options, said):
    with pytest.raises(DatasetError, match=said):
        folder(parts, **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"known_defects": -1}, "known_defects is -1; expected 0 or more"),
        ({"known_defects": 1.5}, "known_defects is 1.5"),
        ({"known_defects": 3, "set_aside": 2}, "set_aside is 2; expected known_defects, which is 3, or more"),
    ],
)
def test_numbers_that_cannot_be_are_refused_before_any_file_is_read(parts, options, said):
    with pytest.raises(ValueError, match=said):
        Folder("parts", "good", root=parts, **options)


def test_defects_without_masks_are_refused(parts):
    with pytest.raises(
        DatasetError, match="of the 0 defects with a mask that data set 'parts' tests only 0 can be had"
    ):
        folder(parts, mask_dir=None, known_defects=3)
    (parts / "known/ground_truth/dent/001_mask.png").unlink()
    with pytest.raises(DatasetError, match=r"known/dent/001\.png"):
        folder(parts, known_defects_dir="known")


def test_defect_whose_mask_marks_nothing_is_not_chosen(parts, mask):
    for index in (1, 2, 3):
        mask(parts / "masks" / "dent" / f"{index:03d}_mask.png", is_black=True)
    data = folder(parts, known_defects=7)
    assert Counter(known(data)["kind"]) == {"scratch": 7}
    assert sum("dent" in path for path in images_tested(data)) == 4


def test_image_that_is_tested_may_not_be_known(parts):
    (parts / "known/dent/000.png").write_bytes((parts / "bad/dent/000.png").read_bytes())
    with pytest.raises(DatasetError, match=r"known/dent/000\.png"):
        folder(parts, known_defects_dir="known")


def test_folder_that_is_not_there_or_has_no_kinds_is_named(parts, image):
    with pytest.raises(DatasetMissingError, match=r"unknown; correct known_defects_dir"):
        folder(parts, known_defects_dir="unknown")
    image(parts / "flat" / "000.png")
    with pytest.raises(DatasetError, match=r"flat/000\.png"):
        folder(parts, known_defects_dir="flat")
