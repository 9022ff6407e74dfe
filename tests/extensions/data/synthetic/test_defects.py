"""Drawn defects: the same each time, where the product is, and marked exactly."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from extensions.data.regions.product import foreground
from extensions.data.synthetic import defects
from extensions.data.synthetic.defects import GENERATORS, draw_defect


def product(seed: int, *, side: int = 96) -> np.ndarray:
    """A textured disk on an even dark background: (side, side, 3) uint8."""
    rng = np.random.default_rng(seed)
    noise = cv2.resize(rng.uniform(90, 200, (16, 16)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    disk = cv2.circle(np.zeros((side, side), np.uint8), (side // 2, side // 2), side // 3, 1, -1)
    grey = np.where(disk > 0, noise, 20).clip(0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


@pytest.mark.parametrize("kind", GENERATORS)
def test_the_mask_is_exactly_what_changed(kind: str) -> None:
    for seed in range(15):
        image = product(seed)
        defect = draw_defect(image, product(seed + 100), np.random.default_rng(seed), kinds=[kind])
        np.testing.assert_array_equal(defect.mask, (defect.image != image).any(axis=2))
        assert defect.mask.sum() >= 20
        assert cv2.absdiff(defect.image, image).max() >= 9


@pytest.mark.parametrize("kind", GENERATORS)
def test_the_same_seed_draws_the_same_and_another_does_not(kind: str) -> None:
    image, source = product(0), product(1)
    first, again, other = (
        draw_defect(image, source, np.random.default_rng(seed), kinds=[kind]).image for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_inputs_are_not_changed() -> None:
    image, source = product(0), product(1)
    draw_defect(image, source, np.random.default_rng(0))
    np.testing.assert_array_equal(image, product(0))
    np.testing.assert_array_equal(source, product(1))


def test_defects_lie_on_the_product() -> None:
    disk = product(0)[..., 0] > 60
    for seed in range(40):
        defect = draw_defect(product(0), product(1), np.random.default_rng(seed))
        assert (defect.mask & ~cv2.dilate(disk.astype(np.uint8), np.ones((3, 3))).astype(bool)).sum() == 0


def test_sizes_and_contrasts_vary_widely() -> None:
    image, areas, contrasts = product(0, side=128), [], []
    for seed in range(60):
        defect = draw_defect(image, product(1, side=128), np.random.default_rng(seed))
        areas.append(int(defect.mask.sum()))
        contrasts.append(float(cv2.absdiff(defect.image, image).max(axis=2)[defect.mask].mean()))
    assert min(areas) < 60
    assert max(areas) > 800
    assert min(contrasts) < 10
    assert max(contrasts) > 40


def test_grey_images_stay_grey() -> None:
    for seed in range(10):
        image = draw_defect(product(0), product(1), np.random.default_rng(seed)).image
        assert (image == image[..., :1]).all()


def test_product_and_background_are_told_apart() -> None:
    estimate, disk = foreground(product(0)), product(0)[..., 0] > 60
    assert (estimate & disk).sum() / (estimate | disk).sum() > 0.9
    texture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert foreground(texture).all()
    assert foreground(np.full((64, 64, 3), 128, dtype=np.uint8)).all()


def test_an_even_image_still_gets_a_defect_and_a_tiny_one_says_why_not() -> None:
    even = np.full((64, 64, 3), 128, dtype=np.uint8)
    assert draw_defect(even, even, np.random.default_rng(0)).mask.any()
    with pytest.raises(RuntimeError, match="too small"):
        draw_defect(even[:3, :3], even[:3, :3], np.random.default_rng(0))


def test_what_is_no_image_or_no_kind_is_refused() -> None:
    image = product(0)
    with pytest.raises(ValueError, match=r"expected uint8 of shape \(H, W, 3\)"):
        draw_defect(image[..., 0], image, np.random.default_rng(0))
    with pytest.raises(ValueError, match="unknown kind of defect 'hole'; expected one of crack"):
        draw_defect(image, image, np.random.default_rng(0), kinds=["hole"])


def test_patches_that_barely_reach_into_the_image_are_no_error():
    image = np.full((48, 48, 3), 100, np.uint8)
    image[::4] = 160
    for place in ((2, 20), (45, 20), (20, 2), (20, 45)):  # of a cover that leaves one or two pixels inside the rim
        cover = np.zeros((48, 48), np.float32)
        cover[place] = 1
        np.testing.assert_array_equal(defects._poisson(image, 255 - image, cover), image)
