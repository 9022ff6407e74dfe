"""Several products as one data set."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from extensions import ContaminatedMVTecAD, Folder, MVTecAD, Products
from extensions.configuration import instantiate_data
from extensions.configuration.objects import spec_of
from extensions.data import DatasetError, DatasetMissingError, fingerprint
from extensions.data.datamodules.stock import set_up_as

NAMES = ["bottle", "cable", "nut"]


@pytest.fixture
def root(tmp_path: Path, image, mask) -> Path:
    """Three categories in the layout of MVTec AD: 4 good images to train on, 2 good and 3 broken ones to test on."""
    root = tmp_path / "products"
    for name in NAMES:
        for folder, n in (("train/good", 4), ("test/good", 2), ("test/broken", 3)):
            for index in range(n):
                image(root / name / folder / f"{index:03d}.png")
        for index in range(3):
            mask(root / name / "ground_truth" / "broken" / f"{index:03d}_mask.png")
    return root


def rows(data, split: str) -> set[tuple]:
    files = fingerprint(data).files
    return set(files[files["split"] == split].itertuples(index=False, name=None))


def folders(root: Path, **arguments) -> list[dict]:
    return [
        {
            "class_path": "extensions.Folder",
            "init_args": {"name": name, "root": str(root / name), "normal_dir": "train/good", "abnormal_dir":
                          "test/broken", "normal_test_dir": "test/good"} | arguments,
        }
        for name in NAMES
    ]  # fmt: skip


@pytest.mark.parametrize("category", ["all", NAMES])
def test_several_categories_are_the_sum_of_what_each_is_alone(root, category):
    (root / "licenses").mkdir()
    together = MVTecAD(root=root, category=category)
    alone = [MVTecAD(root=root, category=name) for name in NAMES]
    for split in ("train", "test"):
        assert rows(together, split) == set().union(*(rows(one, split) for one in alone))
    assert together.category == ("all" if category == "all" else "bottle+cable+nut")
    assert set(together.train_data.samples["product"]) == set(NAMES)
    assert (together.training, alone[0].training) == ("one_for_all", "one_each")


@pytest.mark.parametrize("mode", ["same_as_test", "from_test", "from_train", "none"])
def test_the_tested_category_has_the_test_images_it_has_alone_and_trains_with_the_others(root, mode):
    arguments = {"root": root, "val_split_mode": mode, "val_split_ratio": 0.5}
    together, alone = (
        MVTecAD(category=NAMES, test_category="cable", **arguments),
        MVTecAD(category="cable", **arguments),
    )
    assert together.category == "cable"
    assert rows(together, "test") == rows(alone, "test")
    together.setup()
    alone.setup()
    assert len(together.train_data) == 3 * len(alone.train_data)
    assert len(together.val_data) == len(alone.val_data) * (3 if mode == "from_train" else 1)


def test_what_is_drawn_of_a_category_is_what_it_draws_alone(root):
    together = MVTecAD(root=root, category="all", k_shot=2)
    assert together.k_shot_images == sorted(
        name for category in NAMES for name in MVTecAD(root=root, category=category, k_shot=2).k_shot_images
    )
    dirty = {"contamination_ratio": 0.2, "largest_ratio": 0.2}
    whole = ContaminatedMVTecAD(root=root, category="all", **dirty)
    parts = [ContaminatedMVTecAD(root=root, category=name, **dirty) for name in NAMES]
    assert whole.injected == frozenset().union(*(part.injected for part in parts))
    assert whole.contamination["n_injected"] == len(whole.injected) == 3
    assert set(whole.test_data.samples["image_path"]).isdisjoint(whole.injected)


def test_an_image_of_one_category_in_the_test_of_another_is_an_error(root):
    shutil.copy(root / "bottle/train/good/000.png", root / "nut/test/good/900.png")
    with pytest.raises(DatasetError, match=r"same image in training and test .*bottle/train/good/000.png"):
        MVTecAD(root=root, category="all", test_category="cable").setup()
    MVTecAD(root=root, category=["bottle", "cable"]).setup()


def test_problems_of_all_categories_are_told_together(root):
    for name in ("bottle", "nut"):
        (root / name / "ground_truth/broken/000_mask.png").unlink()
    with pytest.raises(DatasetError) as error:
        MVTecAD(root=root, category="all").setup()
    assert all(f"{name}/test/broken/000.png" in str(error.value) for name in ("bottle", "nut"))


def test_what_cannot_be_is_one_sentence(root, tmp_path):
    with pytest.raises(ValueError, match="expected one of several categories"):
        MVTecAD(root=root, category="bottle", test_category="bottle")
    with pytest.raises(ValueError, match="expected a folder, several that differ"):
        MVTecAD(root=root, category=["bottle", "bottle"])
    with pytest.raises(DatasetError, match="the categories of data set 'MVTecAD' are bottle, cable, nut"):
        MVTecAD(root=root, category="all", test_category="screw").setup()
    with pytest.raises(DatasetMissingError, match="has no categories"):
        MVTecAD(root=tmp_path / "nowhere", category="all").setup()
    with pytest.raises(ValueError, match="expected one_for_all or one_each"):
        MVTecAD(root=root, category="all", training="both")
    with pytest.raises(ValueError, match="each of another name or category"):
        Products([*folders(root), folders(root)[0]], name="parts")
    with pytest.raises(ValueError, match="expected one of bottle, cable, nut"):
        Products(folders(root), name="parts", test_product="screw")


def test_folders_are_products_and_one_each_has_the_same_test_images(root):
    joined = Products(folders(root), name="parts", test_product="nut")
    alone = Products(folders(root), name="parts", test_product="nut", training="one_each")
    assert (joined.training, alone.training) == ("one_for_all", "one_each")
    assert rows(joined, "test") == rows(alone, "test")
    assert (len(joined.train_data), len(alone.train_data)) == (12, 4)
    assert {name.split("/")[0] for _, name, *_ in rows(joined, "train")} == set(NAMES)
    names = [joined.relative(path) for path in joined.train_data.samples["image_path"]]
    assert len(set(names)) == 12


def test_a_draw_holds_for_each_product_but_for_one_that_says_otherwise(root):
    parts = folders(root)
    parts[1]["init_args"]["k_shot"] = 1
    data = Products(parts, name="parts", k_shot=3)
    data.setup()
    assert data.train_data.samples["product"].value_counts().to_dict() == {"bottle": 3, "nut": 3, "cable": 1}


def test_products_of_objects_are_described_by_their_arguments(root):
    parts = [Folder(**entry["init_args"]) for entry in folders(root)]
    given = Products(parts, name="parts", test_product="nut")
    given.setup()
    described = spec_of(given, "data", set_up_as=set_up_as)
    assert rows(instantiate_data(described), "train") == rows(given, "train")


def test_defects_without_masks_beside_others_with_masks_are_tested_by_image_alone(root):
    shutil.rmtree(root / "nut/ground_truth")
    assert fingerprint(MVTecAD(root=root, category="all")).counts["n_masks"] == 0
    assert fingerprint(MVTecAD(root=root, category="all", test_category="cable")).counts["n_masks"] == 3
    assert fingerprint(MVTecAD(root=root, category="all", test_category="nut")).counts["n_masks"] == 0


def test_known_defects_of_several_products_are_no_images_of_a_draw_and_give_no_masks_to_the_test(root, image, mask):
    for name in NAMES:
        shutil.rmtree(root / name / "ground_truth")
        for index in range(2):
            image(root / name / "known/broken" / f"{index}.png")
            mask(root / name / "known/ground_truth/broken" / f"{index}_mask.png")
    whole = MVTecAD(root=root, category="all", k_shot=2, known_defects_dir="known")
    assert len(whole.k_shot_images) == 6
    assert all("/train/good/" in name for name in whole.k_shot_images)
    train = whole.train_data.samples
    assert train["known"].sum() == 6
    assert (train.loc[train["known"], "mask_path"] != "").all()
    assert whole.task == "classification"
    assert whole.train_data.task == "segmentation"


@pytest.mark.parametrize(
    "argument", [{"known_defects": 2}, {"set_aside": 2}, {"calibration_dir": "calibration"}, {"group": "folder"}]
)
def test_what_stands_in_each_product_is_refused_for_the_whole(root, argument):
    with pytest.raises(ValueError, match="for data set 'parts' as a whole; give it to each product"):
        Products(folders(root), name="parts", **argument)
