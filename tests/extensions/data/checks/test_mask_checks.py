"""Masks that mark the wrong pixels stop a run, or are told where they may be meant so."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from extensions import ContaminatedFolder, Folder, MVTecAD
from extensions.data import DatasetError
from extensions.data.__main__ import main
from extensions.data.errors import Kind


def redraw(folder: Path, change: Callable[[np.ndarray], np.ndarray], n: int | None = None) -> None:
    """Change the first n masks."""
    for path in sorted(folder.rglob("*.png"))[:n]:
        Image.fromarray(change(np.asarray(Image.open(path)))).save(path)


def folder(root: Path, kind: type[Folder] = Folder, **options: object) -> Folder:
    arguments = {"abnormal_dir": "bad", "normal_test_dir": "good_test", "mask_dir": "masks", "num_workers": 0}
    return kind("product", "good", root=root, **(arguments | options))  # type: ignore[arg-type]


def kinds(caught: pytest.ExceptionInfo[DatasetError]) -> list[Kind]:
    return [problem.kind for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("change", "kind", "share"),
    [
        (lambda mask: 255 - mask, Kind.INVERTED_MASK, "94% marked"),
        (lambda mask: np.maximum(mask, 1), Kind.MASK_BACKGROUND, "100% marked"),
        (lambda mask: np.where(mask > 0, 2, 1).astype(np.uint8), Kind.MASK_BACKGROUND, "100% marked"),
    ],
)
def test_masks_with_a_marked_background_are_refused(
    product: Path, change: Callable[[np.ndarray], np.ndarray], kind: Kind, share: str
) -> None:
    redraw(product / "masks", change)
    with pytest.raises(DatasetError, match=rf"\(5\): masks/dent/000_mask\.png \({share}\)") as caught:
        folder(product).setup()
    assert kinds(caught) == [kind] * 5


def test_the_other_layouts_refuse_them_too(product: Path, mvtec: Path) -> None:
    redraw(product / "masks", lambda mask: 255 - mask)
    with pytest.raises(DatasetError) as caught:
        folder(product, ContaminatedFolder, largest_ratio=0.1).setup()
    assert kinds(caught) == [Kind.INVERTED_MASK] * 5
    redraw(mvtec / "bottle" / "ground_truth", lambda mask: np.maximum(mask, 1))
    with pytest.raises(DatasetError) as caught:
        MVTecAD(root=mvtec).setup()
    assert kinds(caught) == [Kind.MASK_BACKGROUND] * 3


def test_one_mask_that_marks_most_of_its_image_is_told_only(product: Path, caplog: pytest.LogCaptureFixture) -> None:
    redraw(product / "masks", lambda mask: 255 - mask, n=1)
    with caplog.at_level(logging.WARNING):
        folder(product).setup()
    assert "mask that marks most of its image (1): masks/dent/000_mask.png (94% marked)" in caplog.text


def test_large_defects_within_the_image_are_no_inverted_masks(product: Path, caplog: pytest.LogCaptureFixture) -> None:
    def large(mask: np.ndarray) -> np.ndarray:
        mask = np.zeros_like(mask)
        mask[8:56, 8:56] = 255  # 56 % of the image, as where a whole part is marked
        return mask

    redraw(product / "masks", large, n=2)
    folder(product).setup()
    assert caplog.records == []
    redraw(product / "masks", large)
    with caplog.at_level(logging.WARNING):
        folder(product).setup()
    assert "mask that marks most of its image (5)" in caplog.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda mask: np.full_like(mask, 255), "mask that marks all of its image (5)"),
        (lambda mask: np.where(np.arange(64) > 60, 255, mask // 255).astype(np.uint8), "small class numbers and 255"),
    ],
)
def test_what_is_only_likely_wrong_is_told(
    product: Path, change: Callable[[np.ndarray], np.ndarray], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    redraw(product / "masks", change)
    with caplog.at_level(logging.WARNING):
        folder(product).setup()
    assert said in caplog.text


def test_jpeg_masks_are_cut_and_told(product: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected = int((np.asarray(Image.open(product / "masks/dent/000_mask.png")) > 0).sum())
    ys, xs = np.mgrid[:64, :64]
    round_mask = Image.fromarray(np.uint8(255) * ((ys - 32) ** 2 + (xs - 32) ** 2 < expected / np.pi).astype(np.uint8))
    for path in sorted((product / "masks").rglob("*.png")):
        path.unlink()
        round_mask.save(path.with_suffix(".jpg"), quality=60)
    data = folder(product)
    with caplog.at_level(logging.WARNING):
        data.setup()
    assert "cut at half of their range (5)" in caplog.text
    marked = [int(item.gt_mask.sum()) for item in data.test_data if item.gt_label == 1]
    assert marked == pytest.approx([expected] * 5, rel=0.03)


def test_photographs_for_masks_are_refused(product: Path) -> None:
    rng = np.random.default_rng(0)
    redraw(product / "masks", lambda mask: rng.integers(0, 255, mask.shape, dtype=np.uint8))
    with pytest.raises(DatasetError) as caught:
        folder(product).setup()
    assert kinds(caught) == [Kind.GREY_MASK] * 5


def test_the_check_prints_how_much_masks_mark(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = product / "data.yaml"
    arguments = f"{{name: p, normal_dir: good, root: {product}, abnormal_dir: bad, mask_dir: masks}}"
    config.write_text(f"data:\n  class_path: extensions.Folder\n  init_args: {arguments}\n")
    assert main(["check", "--config", str(config)]) == 0
    assert "median 6.25% of an image, at most 6.25%" in capsys.readouterr().out
