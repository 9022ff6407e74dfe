"""A data set is checked whole, before any training."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from extensions import Folder, MVTecAD
from extensions.data import DatasetError, DatasetMissingError, check_dataset
from extensions.data.checks import inspection
from extensions.data.checks.fingerprints import fingerprint
from extensions.data.errors import Kind

MakeImage = Callable[..., Path]


def folder(root: Path, **options: object) -> Folder:
    arguments = {"abnormal_dir": "bad", "normal_test_dir": "good_test", "mask_dir": "masks", "num_workers": 0}
    return Folder("product", "good", root=root, **(arguments | options))  # type: ignore[arg-type]


def problems(root: Path, **options: object) -> dict[Kind, list[str]]:
    with pytest.raises(DatasetError) as caught:
        folder(root, **options).setup()
    found: dict[Kind, list[str]] = {}
    for problem in caught.value.problems:
        found.setdefault(problem.kind, []).append(problem.file)
        assert problem.file in str(caught.value)
    return found


def test_a_sound_data_set_passes_without_a_word(product: Path, caplog: pytest.LogCaptureFixture) -> None:
    check_dataset(folder(product))
    assert caplog.records == []


def test_all_problems_are_reported_together_with_their_files(product: Path, image: MakeImage, mask: MakeImage) -> None:
    whole = (product / "good" / "000.png").read_bytes()
    (product / "good" / "000.png").write_bytes(whole[: len(whole) // 2])
    (product / "good" / "001.png").write_bytes(b"")
    (product / "bad" / "dent" / "000.png").write_text("not an image")
    (product / "good_test" / "000.png").write_bytes((product / "good" / "002.png").read_bytes())
    (product / "bad" / "dent" / "001.png").write_bytes((product / "good_test" / "001.png").read_bytes())
    mask(product / "masks" / "scratch" / "001_mask.png", size=(32, 32))
    (product / "masks" / "scratch" / "002_mask.png").unlink()
    mask(product / "masks" / "scratch" / "nobody.png")
    (product / "empty").mkdir()
    assert problems(product, normal_test_dir=["good_test", "empty"]) == {
        Kind.UNREADABLE: ["bad/dent/000.png", "good/000.png", "good/001.png"],
        Kind.IN_TRAIN_AND_TEST: ["good/002.png = good_test/000.png"],
        Kind.TWO_LABELS: ["bad/dent/001.png = good_test/001.png"],
        Kind.MASK_SIZE: ["masks/scratch/001_mask.png"],
        Kind.NO_MASK: ["bad/scratch/002.png"],
        Kind.EXTRA_MASK: ["masks/scratch/nobody.png"],
        Kind.EMPTY_FOLDER: ["empty"],
    }


def test_a_long_list_is_cut_and_says_so(product: Path) -> None:
    for index in range(30):
        (product / "good" / f"broken{index:02d}.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"broken19\.png .* … and 10 more") as caught:
        folder(product).setup()
    assert "broken20.png" not in str(caught.value)
    assert len(caught.value.problems) == 30


def test_a_mask_must_have_the_size_of_the_image_as_displayed(product: Path, image: MakeImage, mask: MakeImage) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.full((40, 60, 3), 90, dtype=np.uint8)).save(product / "bad" / "dent" / "000.png", exif=exif)
    mask(product / "masks" / "dent" / "000_mask.png", size=(60, 40))
    assert problems(product) == {Kind.MASK_SIZE: ["masks/dent/000_mask.png"]}
    mask(product / "masks" / "dent" / "000_mask.png", size=(40, 60))
    data = folder(product)
    data.setup()
    row = data.test_data.samples.image_path.str.endswith("dent/000.png").to_numpy().argmax()
    assert data.test_data[int(row)].gt_mask.shape == data.test_data[int(row)].image.shape[-2:] == (60, 40)


def test_what_leaves_results_right_is_only_logged(
    product: Path, image: MakeImage, mask: MakeImage, caplog: pytest.LogCaptureFixture
) -> None:
    mask(product / "masks" / "dent" / "000_mask.png", is_black=True)
    image(product / "good" / "a.png", seed=5)
    image(product / "good" / "b.png", seed=5)
    deep = np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(deep).save(product / "good" / "camera12.png")
    with caplog.at_level(logging.WARNING):
        folder(product).setup()
    assert "masks/dent/000_mask.png" in caplog.text
    assert "good/a.png = good/b.png" in caplog.text
    assert "good/camera12.png" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        folder(product).setup()
    assert not caplog.records, "each run of a grid repeats it"


def test_a_folder_of_masks_among_the_images_is_not_read_as_images(product: Path) -> None:
    (product / "masks").rename(product / "bad" / "masks")
    assert problems(product, mask_dir=None) == {Kind.MASK_FOLDER: ["bad/masks"]}
    data = folder(product, mask_dir="bad/masks")
    data.setup()
    assert int(data.test_data.samples.label_index.sum()) == 5


def test_all_missing_folders_are_named(tmp_path: Path, product: Path) -> None:
    with pytest.raises(DatasetMissingError, match=r"nowhere.*neither"):
        folder(product, abnormal_dir="nowhere", mask_dir="neither").setup()
    with pytest.raises(FileNotFoundError):
        folder(tmp_path / "gone").setup()


def test_a_category_that_is_not_on_disk_is_named_with_the_nearest(mvtec: Path) -> None:
    with pytest.raises(DatasetMissingError, match=r"mvtec/botle \(nearest: bottle\)"):
        MVTecAD(root=mvtec, category="botle").setup()


def test_mvtec_masks_missing_extra_and_unexpected_are_reported(mvtec: Path, mask: MakeImage, image: MakeImage) -> None:
    (mvtec / "bottle" / "ground_truth" / "broken" / "001_mask.png").unlink()
    mask(mvtec / "bottle" / "ground_truth" / "other" / "000_mask.png")
    mask(mvtec / "bottle" / "ground_truth" / "good" / "000_mask.png")
    image(mvtec / "bottle" / "train" / "bad" / "000.png")
    with pytest.raises(DatasetError) as caught:
        MVTecAD(root=mvtec).setup()
    assert {(problem.kind, problem.file) for problem in caught.value.problems} == {
        (Kind.NO_MASK, "bottle/test/broken/001.png"),
        (Kind.EXTRA_MASK, "bottle/ground_truth/other/000_mask.png"),
        (Kind.MASK_ON_NORMAL, "bottle/ground_truth/good/000_mask.png"),
        (Kind.UNEXPECTED_FOLDER, "bottle/train/bad"),
    }


def test_a_file_is_read_once_until_it_changes(product: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(product).setup()
    read: list[str] = []
    inspect = inspection._inspect
    monkeypatch.setattr(inspection, "_inspect", lambda path, is_mask: read.append(path) or inspect(path, is_mask))
    folder(product).setup()
    assert read == []
    (product / "good" / "003.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"good/003\.png"):
        folder(product).setup()
    assert [Path(path).name for path in read] == ["003.png"]


def test_any_anomalib_datamodule_can_be_checked(mvtec: Path) -> None:
    from anomalib.data import MVTecAD as StockMVTecAD

    (mvtec / "bottle" / "train" / "good" / "000.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"000\.png"):
        check_dataset(StockMVTecAD(root=mvtec, category="bottle"))


def test_the_error_survives_the_way_between_processes(product: Path) -> None:
    (product / "good" / "000.png").write_bytes(b"")
    for data in (folder(product), folder(product, mask_dir="gone")):
        with pytest.raises(DatasetError) as caught:
            data.setup()
        copy = pickle.loads(pickle.dumps(caught.value))
        assert (type(copy), str(copy), copy.problems) == (type(caught.value), str(caught.value), caught.value.problems)


def test_a_name_that_is_not_utf8_is_a_problem_told_with_the_others(product: Path, image: MakeImage) -> None:
    bad = os.fsdecode(b"Stra\xdfe.png")
    image(product / "good" / bad)
    (product / "good" / "001.png").write_bytes(b"")
    with pytest.raises(DatasetError) as caught:
        folder(product).setup()
    assert {problem.kind for problem in caught.value.problems} == {Kind.NAME_NOT_UTF8, Kind.UNREADABLE}
    assert r"good/Stra\xdfe.png; rename them" in str(caught.value)
    assert str(caught.value).encode()


def test_a_data_set_in_a_folder_whose_name_is_not_utf8_is_sound(product: Path) -> None:
    root = product.rename(product.with_name(os.fsdecode(b"Teil\xe4")))
    data = folder(root)
    check_dataset(data)
    assert {Path(path).parents[1] for path in data.train_data.samples["image_path"]} == {root}


def test_a_stock_datamodule_with_such_a_name_is_refused_before_its_fingerprint(mvtec: Path) -> None:
    from anomalib.data import MVTecAD as StockMVTecAD

    first = mvtec / "bottle" / "train" / "good" / "000.png"
    first.rename(first.with_name(os.fsdecode(b"\xe4.png")))
    with pytest.raises(DatasetError, match=r"not UTF-8 \(1\): .*\\xe4\.png; rename"):
        fingerprint(StockMVTecAD(root=mvtec, category="bottle", num_workers=0))
