"""Masks that lie among the images are no images."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from extensions import Folder, MVTecAD
from extensions.data import DatasetError, check_dataset
from extensions.data.checks.masks_beside import mask_folders, masks_beside
from extensions.data.errors import Kind

MakeImage = Callable[..., Path]


@pytest.fixture
def mixed(tmp_path: Path, image: MakeImage, mask: MakeImage) -> Path:
    """good (6) and bad (3) as in KolektorSDD2: each image has a mask beside it, those of good ones are black."""
    for folder, n in (("good", 6), ("bad", 3)):
        for index in range(n):
            image(tmp_path / folder / f"{index}.png")
            mask(tmp_path / folder / f"{index}_GT.png", is_black=folder == "good")
    return tmp_path


def test_masks_beside_the_images_are_refused_with_their_number(mixed: Path) -> None:
    with pytest.raises(DatasetError, match=r"mask beside its image.* \(9\): bad/0_GT\.png.*mask_dir") as caught:
        Folder("x", "good", root=mixed, abnormal_dir="bad").setup()
    assert {problem.kind for problem in caught.value.problems} == {Kind.MASK_BESIDE}


@pytest.mark.parametrize("mask_dir", ["bad", ["good", "bad"], ["bad", "good"]])
def test_the_folder_of_the_images_may_be_that_of_the_masks(mixed: Path, mask_dir: str | list[str]) -> None:
    data = Folder("x", "good", root=mixed, abnormal_dir="bad", mask_dir=mask_dir, num_workers=0)
    data.setup()
    names = [Path(path).name for part in (data.train_data, data.test_data) for path in part.samples["image_path"]]
    assert len(names) == 9
    assert not any("GT" in name for name in names)
    bad = data.test_data.samples.query("label_index == 1")
    assert [Path(path).name for path in bad["mask_path"]] == [f"{index}_GT.png" for index in range(3)]
    assert [int(item.gt_mask.sum()) for item in data.test_data if item.gt_label == 1] == [256] * 3


def test_a_mask_beside_a_good_image_must_be_black(mixed: Path, mask: MakeImage) -> None:
    mask(mixed / "good" / "3_GT.png")
    with pytest.raises(DatasetError) as caught:
        Folder("x", "good", root=mixed, abnormal_dir="bad", mask_dir="bad").setup()
    assert [(p.kind, p.file) for p in caught.value.problems] == [(Kind.MASK_ON_NORMAL, "good/3_GT.png")]


def test_missing_and_extra_masks_beside_are_named(mixed: Path) -> None:
    (mixed / "bad" / "0_GT.png").unlink()
    (mixed / "bad" / "1.png").unlink()
    with pytest.raises(DatasetError) as caught:
        Folder("x", "good", root=mixed, abnormal_dir="bad", mask_dir="bad").setup()
    assert {(p.kind, p.file) for p in caught.value.problems} == {
        (Kind.NO_MASK, "bad/0.png"),
        (Kind.EXTRA_MASK, "bad/1_GT.png"),
    }


@pytest.mark.parametrize("name", ["7_GT.png", "7_mask.bmp", "7_label.tif", "7-gt.png", "mask_7.png", "7.bmp"])
def test_a_mask_is_known_by_its_name_and_content(tmp_path: Path, image: MakeImage, mask: MakeImage, name: str) -> None:
    files = [image(tmp_path / "7.png"), image(tmp_path / "8.png"), mask(tmp_path / name)]
    assert masks_beside(files) == {tmp_path / name}
    image(tmp_path / name)
    assert masks_beside(files) == set(), "a photograph of this name is an image"


def test_a_jpeg_mask_is_one_and_two_photographs_of_one_name_are_none(
    tmp_path: Path, image: MakeImage, mask: MakeImage
) -> None:
    files = [image(tmp_path / "7.png"), tmp_path / "7_mask.jpg"]
    Image.open(mask(tmp_path / "m" / "m.png")).rotate(30).save(tmp_path / "7_mask.jpg", quality=60)
    assert masks_beside(files) == {tmp_path / "7_mask.jpg"}
    Image.open(tmp_path / "7.png").save(tmp_path / "7.jpg")
    assert masks_beside([tmp_path / "7.png", tmp_path / "7.jpg"]) == set()


def test_the_extensions_of_images_do_not_hide_the_masks(tmp_path: Path, image: MakeImage, mask: MakeImage) -> None:
    for folder, n in (("good", 4), ("bad", 2)):
        for index in range(n):
            image(tmp_path / folder / f"{index}.jpg")
            mask(tmp_path / folder / f"{index}.png", is_black=folder == "good")
    data = Folder("x", "good", root=tmp_path, abnormal_dir="bad", mask_dir="bad", extensions=[".jpg"])
    data.setup()
    assert [Path(path).suffix for path in data.test_data.samples.query("label_index == 1")["mask_path"]] == [".png"] * 2


def test_folders_of_masks_do_not_train(product: Path) -> None:
    with pytest.raises(DatasetError, match=r"folder of masks among the images \(1\): masks; name it in mask_dir"):
        Folder("x", ".", root=product, abnormal_dir="bad", normal_test_dir="good_test").setup()
    Folder("x", ".", root=product, abnormal_dir="bad", normal_test_dir="good_test", mask_dir="masks").setup()


def test_a_folder_called_labels_is_one_of_masks_only_when_masks_are_in_it(
    tmp_path: Path, image: MakeImage, mask: MakeImage
) -> None:
    for index in range(3):
        image(tmp_path / "bad" / "label" / f"{index}.png")  # a kind of defect
        mask(tmp_path / "bad" / "labels" / f"{index}.png")
    assert mask_folders(tmp_path) == [tmp_path / "bad" / "labels"]


def test_a_folder_of_masks_below_the_images_may_be_meant_by_mask_dir(product: Path) -> None:
    (product / "masks").rename(product / "bad" / "masks")
    data = Folder("x", "good", root=product, abnormal_dir="bad", mask_dir="bad", num_workers=0)
    data.setup()
    bad = data.test_data.samples.query("label_index == 1")
    assert sorted(bad["kind"]) == ["dent"] * 2 + ["scratch"] * 3
    assert all("masks" in path for path in bad["mask_path"])


def test_the_layout_of_mvtec_refuses_them(mvtec: Path, mask: MakeImage) -> None:
    mask(mvtec / "bottle" / "test" / "broken" / "000_mask.png")
    mask(mvtec / "bottle" / "train" / "good" / "masks" / "000.png")
    with pytest.raises(DatasetError) as caught:
        MVTecAD(root=mvtec).setup()
    assert {(p.kind, p.file) for p in caught.value.problems} == {
        (Kind.MASK_BESIDE, "bottle/test/broken/000_mask.png"),
        (Kind.MASK_FOLDER, "bottle/train/good/masks"),
    }


def test_anomalibs_own_datamodules_are_checked_for_them(mvtec: Path, mask: MakeImage) -> None:
    from anomalib.data import MVTecAD as StockMVTecAD

    mask(mvtec / "bottle" / "train" / "good" / "000_mask.png", is_black=True)
    with pytest.raises(DatasetError) as caught:
        check_dataset(StockMVTecAD(root=mvtec, category="bottle"))
    assert [problem.kind for problem in caught.value.problems] == [Kind.MASK_BESIDE]


def test_images_of_a_few_values_are_told_unless_all_are_so(
    product: Path, mask: MakeImage, caplog: pytest.LogCaptureFixture
) -> None:
    mask(product / "good" / "drawing.png")
    with caplog.at_level(logging.WARNING):
        Folder("x", "good", root=product).setup()
    assert "image of a few values only, as masks have (1): good/drawing.png" in caplog.text
    caplog.clear()
    for index in range(5):
        mask(product / "stamps" / f"{index}.png", size=(40 + index, 40))
    Folder("y", "stamps", root=product).setup()
    assert caplog.records == []
