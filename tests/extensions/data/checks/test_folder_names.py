"""Folders whose names are nearly right do not change results in silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from extensions import Folder, MVTecAD
from extensions.data import DatasetError, DatasetMissingError, check_dataset
from extensions.data.checks.folder_names import is_bad_folder, is_good_folder, is_mask_folder
from extensions.data.errors import Kind

MakeImage = Callable[..., Path]


def test_what_names_say() -> None:
    assert all(map(is_good_folder, ["good", "Good", "good ", "OK", "ok", "goood", "normal", "defect-free"]))
    assert not any(map(is_good_folder, ["wood", "hole", "broken", "no_screw", "gold", "not_good", "scratch"]))
    assert all(map(is_mask_folder, ["masks", "Mask", "ground_truth", "ground-truth", "GroundTruth", "GT"]))
    assert not any(map(is_mask_folder, ["gtin", "labels", "masking", "good"]))
    assert all(map(is_bad_folder, ["bad", "NG", "defects", "not_good"]))
    assert not any(map(is_bad_folder, ["good", "badge", "line1"]))


@pytest.mark.parametrize("name", ["Good", "OK", "good ", "goood"])
@pytest.mark.parametrize("has_masks", [True, False])
def test_good_test_images_are_not_tested_as_defects(mvtec: Path, name: str, has_masks: bool) -> None:
    folder = mvtec / "bottle"
    (folder / "test" / "good").rename(folder / "test" / name)
    if not has_masks:
        (folder / "ground_truth").rename(mvtec / "elsewhere")
    with pytest.raises(DatasetError, match="its images would be tested as defects") as caught:
        MVTecAD(root=mvtec).setup()
    assert [(p.kind, p.file) for p in caught.value.problems] == [(Kind.NEAR_NAME, f"bottle/test/{name}")]


@pytest.mark.parametrize("name", ["ground-truth", "GT", "Ground_Truth", "masks"])
def test_masks_are_not_lost_to_a_name(mvtec: Path, name: str) -> None:
    (mvtec / "bottle" / "ground_truth").rename(mvtec / "bottle" / name)
    with pytest.raises(DatasetError) as caught:
        MVTecAD(root=mvtec).setup()
    assert [(p.kind, p.file) for p in caught.value.problems] == [(Kind.NEAR_NAME, f"bottle/{name}")]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("train", "Train", r"rename .*/Train to train"),
        ("train/good", "train/Good", r"rename .*/train/Good to good"),
        ("test", "tests", r"rename .*/tests to test"),
    ],
)
def test_a_missing_folder_that_is_there_under_nearly_its_name_is_named(
    mvtec: Path, old: str, new: str, said: str
) -> None:
    (mvtec / "bottle" / old).rename(mvtec / "bottle" / new)
    with pytest.raises(DatasetMissingError, match=said):
        MVTecAD(root=mvtec).setup()


def test_good_images_among_the_bad_are_refused(product: Path, image: MakeImage) -> None:
    image(product / "bad" / "ok" / "000.png")
    with pytest.raises(DatasetError) as caught:
        Folder("x", "good", root=product, abnormal_dir="bad").setup()
    assert [(p.kind, p.file) for p in caught.value.problems] == [(Kind.GOOD_FOLDER, "bad/ok")]
    data = Folder("x", "good", root=product, abnormal_dir="bad", normal_test_dir="bad/ok")
    data.setup()
    assert data.test_data.samples["label_index"].tolist().count(0) == 1


def test_bad_images_among_the_good_are_refused(product: Path, mvtec: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        Folder("x", ".", root=product, mask_dir="masks").setup()
    assert [(p.kind, p.file) for p in caught.value.problems] == [(Kind.DEFECT_FOLDER, "bad")]
    with pytest.raises(DatasetError) as caught:
        Folder("x", "bottle", root=mvtec).setup()
    assert {(p.kind, p.file) for p in caught.value.problems} == {
        (Kind.DEFECT_FOLDER, "bottle/test"),
        (Kind.MASK_FOLDER, "bottle/ground_truth"),
    }


def test_anomalibs_own_datamodules_are_checked_for_them(product: Path, image: MakeImage) -> None:
    from anomalib.data import Folder as StockFolder

    image(product / "bad" / "ok" / "000.png")
    with pytest.raises(DatasetError) as caught:
        check_dataset(StockFolder("x", root=product, normal_dir="good", abnormal_dir="bad"))
    assert [(p.kind, p.file) for p in caught.value.problems] == [(Kind.GOOD_FOLDER, "bad/ok")]


def test_a_folder_that_is_there_under_nearly_its_name_is_named(product: Path) -> None:
    with pytest.raises(DatasetMissingError, match=r"there is .*bad"):
        Folder("x", "good", root=product, abnormal_dir="Bad").setup()
