"""Fingerprints and the layout of MVTec AD."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from anomalib import TaskType

from extensions import Folder, MVTecAD
from extensions.data import fingerprint


def folder(root: Path, **options: object) -> Folder:
    return Folder("product", "good", root=root, abnormal_dir="bad", **options)  # type: ignore[arg-type]


def test_mvtec_layout_with_category_or_as_a_data_set_of_its_own(mvtec: Path) -> None:
    category = MVTecAD(root=mvtec, category="bottle", num_workers=0)
    own = MVTecAD(root=mvtec / "bottle", category="", name="mine", num_workers=0)
    for data, prefix in ((category, "bottle/"), (own, "")):
        found = fingerprint(data)
        assert found.counts["defect_kinds"] == {"broken": 3}
        assert found.counts["n_masks"] == 3
        assert f"{prefix}test/broken/000.png" in set(found.files.image)
    assert own.name == "mine"


def test_mvtec_layout_without_masks_is_classification(mvtec: Path) -> None:
    for path in sorted((mvtec / "bottle" / "ground_truth").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (mvtec / "bottle" / "ground_truth").rmdir()
    assert MVTecAD(root=mvtec).task == TaskType.CLASSIFICATION


def test_the_fingerprint_moves_with_every_byte_label_and_split_but_not_with_the_place(product: Path) -> None:
    options = {"normal_test_dir": "good_test", "mask_dir": "masks"}
    first = fingerprint(folder(product, **options)).sha256
    moved = product.rename(product.parent / "elsewhere")
    assert fingerprint(folder(moved, **options)).sha256 == first
    assert fingerprint(folder(moved, normal_test_dir="good_test")).sha256 != first
    with (moved / "masks" / "dent" / "000_mask.png").open("ab") as file:
        file.write(b"\0")
    second = fingerprint(folder(moved, **options)).sha256
    assert second != first
    (moved / "good" / "000.png").rename(moved / "good_test" / "moved.png")
    assert fingerprint(folder(moved, **options)).sha256 not in {first, second}


def test_any_anomalib_datamodule_has_a_fingerprint(mvtec: Path) -> None:
    from anomalib.data import MVTecAD as Stock

    stock = fingerprint(Stock(root=mvtec, category="bottle", val_split_mode="same_as_test"))
    ours = fingerprint(MVTecAD(root=mvtec))
    pd.testing.assert_frame_equal(stock.files, ours.files)
    assert (stock.sha256, stock.counts) == (ours.sha256, ours.counts)
