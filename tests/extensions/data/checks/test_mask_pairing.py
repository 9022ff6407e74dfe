"""Masks belong to images by name, and what does not fit is named."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from extensions.data.checks.mask_pairing import Candidate, pair_masks
from extensions.data.errors import Kind

ROOT = Path("/data")


def candidates(*names: str, folder: str, index: int = 0) -> list[Candidate]:
    return [Candidate(ROOT / folder / name, ROOT / folder, index) for name in names]


def pairs(images: list[Candidate], masks: list[Candidate]) -> dict[str, str]:
    found = pair_masks(images, masks, root=ROOT)
    assert not found.problems
    return {str(a.relative_to(ROOT)): str(b.relative_to(ROOT)) for a, b in found.masks.items()}


@pytest.mark.parametrize(
    "mask", ["7.png", "7_mask.png", "7_gt.bmp", "7-mask.tif", "7_MASK.PNG", "7_ground_truth.png", "7.jpg.png"]
)
def test_a_mask_has_its_images_name_with_or_without_a_suffix(mask: str) -> None:
    images = candidates("7.jpg", "17.jpg", folder="bad")
    masks = candidates("17.png", mask, folder="masks")
    assert pairs(images, masks) == {"bad/7.jpg": f"masks/{mask}", "bad/17.jpg": "masks/17.png"}


def test_order_and_substrings_of_names_do_not_matter() -> None:
    images = candidates("1.png", "10.png", "2.png", folder="bad")
    masks = candidates("10_mask.png", "2_mask.png", "1_mask.png", folder="masks")
    assert pairs(images, masks)["bad/1.png"] == "masks/1_mask.png"


def test_equal_names_in_subfolders_stay_apart() -> None:
    images = candidates("scratch/0.png", "dent/0.png", folder="bad")
    masks = candidates("dent/0_mask.png", "scratch/0_mask.png", folder="masks")
    assert pairs(images, masks) == {
        "bad/scratch/0.png": "masks/scratch/0_mask.png",
        "bad/dent/0.png": "masks/dent/0_mask.png",
    }


def test_equal_names_in_several_folders_are_told_by_the_folders_names() -> None:
    images = candidates("0.png", folder="scratch", index=0) + candidates("0.png", folder="dent", index=1)
    masks = candidates("0.png", folder="dent_gt", index=0) + candidates("0.png", folder="scratch_gt", index=1)
    assert pairs(images, masks) == {"scratch/0.png": "scratch_gt/0.png", "dent/0.png": "dent_gt/0.png"}


def test_equal_names_in_folders_that_say_nothing_are_told_by_their_order() -> None:
    images = candidates("0.png", folder="a", index=0) + candidates("0.png", folder="b", index=1)
    masks = candidates("0.png", folder="x", index=0) + candidates("0.png", folder="y", index=1)
    assert pairs(images, masks) == {"a/0.png": "x/0.png", "b/0.png": "y/0.png"}


def test_missing_extra_and_ambiguous_masks_are_each_named() -> None:
    images = candidates("here.png", "missing.png", "twice.png", folder="bad")
    masks = candidates("here.png", "extra_mask.png", "twice.png", "twice_mask.png", folder="masks")
    found = pair_masks(images, masks, root=ROOT)
    assert {(problem.kind, problem.file) for problem in found.problems} == {
        (Kind.NO_MASK, "bad/missing.png"),
        (Kind.EXTRA_MASK, "masks/extra_mask.png"),
        (Kind.AMBIGUOUS_MASK, "bad/twice.png"),
    }
    assert list(found.masks) == [ROOT / "bad/here.png"]


def test_another_kinds_mask_is_not_taken_for_a_missing_one() -> None:
    images = candidates("scratch/0.png", "dent/0.png", folder="bad")
    found = pair_masks(images, candidates("dent/0.png", folder="masks"), root=ROOT)
    assert [(p.kind, p.file) for p in found.problems] == [(Kind.NO_MASK, "bad/scratch/0.png")]


def test_composed_and_decomposed_letters_are_equal() -> None:
    name = "schä­den"
    images = candidates(unicodedata.normalize("NFD", name) + ".png", folder="bad")
    masks = candidates(unicodedata.normalize("NFC", name) + "_mask.png", folder="masks")
    assert len(pair_masks(images, masks, root=ROOT).masks) == 1
