"""Images that thresholds alone are fitted on: listed, checked, part of the fingerprint, never trained or tested on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from extensions import Folder, MVTecAD
from extensions.data import DatasetError, DatasetMissingError, fingerprint
from extensions.data.__main__ import main

MakeImage = Callable[..., Path]


def folder(root: Path, **options: object) -> Folder:
    arguments = {"abnormal_dir": "bad", "normal_test_dir": "good_test", "num_workers": 0, "calibration_dir": "limits"}
    return Folder("product", "good", root=root, **(arguments | options))  # type: ignore[arg-type]


@pytest.fixture
def limits(product: Path, image: MakeImage) -> Path:
    """Two good images and one with a dent."""
    for name in ("good/0.png", "good/1.png", "dent/0.png"):
        image(product / "limits" / name)
    return product / "limits"


def test_good_and_other_subfolders_become_labelled_images_of_their_own(product: Path, limits: Path) -> None:
    data, plain = folder(product), folder(product, calibration_dir=None)
    data.setup()
    plain.setup()
    assert data.calibration_data is not None
    rows = data.calibration_data.samples
    assert list(zip(rows.image_path.map(data.relative), rows.label_index, rows.kind, strict=True)) == [
        ("limits/dent/0.png", 1, "dent"),
        ("limits/good/0.png", 0, "good"),
        ("limits/good/1.png", 0, "good"),
    ]
    assert plain.calibration_data is None
    for split in ("train_data", "val_data", "test_data"):
        assert getattr(data, split).samples.equals(getattr(plain, split).samples)


def test_they_are_part_of_the_fingerprint(product: Path, limits: Path, image: MakeImage) -> None:
    before, plain = fingerprint(folder(product)), fingerprint(folder(product, calibration_dir=None))
    image(limits / "good" / "2.png")
    after = fingerprint(folder(product))
    assert len({before.sha256, plain.sha256, after.sha256}) == 3
    assert after.counts["calibration_kinds"] == {"dent": 1, "good": 3}
    assert "calibration_kinds" not in plain.counts


@pytest.mark.parametrize("used", ["good/000.png", "good_test/001.png", "bad/dent/000.png"])
def test_an_image_that_is_trained_or_tested_on_is_refused_by_its_content(
    product: Path, limits: Path, used: str
) -> None:
    shutil.copy(product / used, limits / "good" / "copy.png")
    with pytest.raises(DatasetError, match="same image in calibration_dir and in training or test") as caught:
        folder(product).setup()
    assert used in str(caught.value)
    assert "limits/good/copy.png" in str(caught.value)


def test_a_folder_of_tested_images_is_refused_by_its_path(product: Path) -> None:
    with pytest.raises(DatasetError, match="same image in calibration_dir"):
        folder(product, calibration_dir="bad").setup()


def test_all_that_is_wrong_with_the_folder_is_told_at_once(product: Path, limits: Path, image: MakeImage) -> None:
    (limits / "good" / "broken.png").write_bytes(b"no image")
    (limits / "empty").mkdir()
    image(limits / "Good" / "0.png")
    image(limits / "stray.png")
    with pytest.raises(DatasetError) as caught:
        folder(product).setup()
    for told in ("limits/good/broken.png", "limits/empty", "limits/Good (good is expected", "limits/stray.png"):
        assert told in str(caught.value)


def test_a_folder_that_is_not_there_or_empty_is_named(product: Path) -> None:
    with pytest.raises(DatasetMissingError, match="limits; correct calibration_dir"):
        folder(product).setup()
    (product / "limits").mkdir()
    with pytest.raises(DatasetError, match="expected good and other folders"):
        folder(product).setup()


def test_each_category_has_its_own(mvtec: Path, image: MakeImage) -> None:
    image(mvtec / "bottle" / "limits" / "good" / "0.png")
    data = MVTecAD(root=mvtec, category="bottle", calibration_dir="limits", num_workers=0)
    data.setup()
    assert data.calibration_data is not None
    assert data.calibration_data.samples.label_index.tolist() == [0]


def test_good_images_below_another_folder_are_not_read_for_that(product: Path, image: MakeImage) -> None:
    image(product / "good" / "kept" / "good" / "0.png")
    data = folder(product, calibration_dir="good/kept")
    data.setup()
    assert len(data.train_data) == 10


def test_check_counts_them(product: Path, limits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = {
        "name": "product", "root": str(product), "normal_dir": "good", "abnormal_dir": "bad",
        "normal_test_dir": "good_test", "calibration_dir": "limits",
    }  # fmt: skip
    config = tmp_path / "data.yaml"
    config.write_text(yaml.safe_dump({"data": {"class_path": "extensions.Folder", "init_args": arguments}}))
    assert main(["check", "--config", str(config)]) == 0
    told = capsys.readouterr().out
    assert "calibration_kinds dent 1, good 2" in told
    shutil.copy(limits / "dent" / "0.png", product / "bad" / "dent" / "copy.png")
    assert main(["check", "--config", str(config)]) == 1
    assert "take it out of calibration_dir" in capsys.readouterr().err
