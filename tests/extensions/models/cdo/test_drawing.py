"""Defects that CDO draws: where it says, in the range of images, and by the seed alone."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import Normalize

from extensions.models.cdo.drawing import draw_defects, noise_rectangles

NORMALIZE = Normalize(mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.4])


@pytest.fixture
def photographs() -> torch.Tensor:
    """Five smooth images, normalized: (5, 3, 80, 96)."""
    coarse = torch.rand(5, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, size=(80, 96), mode="bicubic", align_corners=False).clamp(0, 1)
    return NORMALIZE((smooth * 255).round() / 255)


def draw(images: torch.Tensor, drawing: str, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    return draw_defects(images, drawing, normalize=NORMALIZE, seed=seed)


@pytest.mark.parametrize("drawing", ["noise", "nsa", "cutpaste"])
def test_images_change_where_the_mask_says_and_nowhere_else(photographs, drawing):
    drawn, marked = draw(photographs, drawing)
    assert marked.shape == (5, 1, 80, 96)
    assert marked.any()
    where = marked.expand_as(drawn)
    assert torch.equal(drawn[~where], photographs[~where])
    changed = (drawn != photographs).any(dim=1, keepdim=True)
    assert changed[marked].float().mean() > 0.98  # noise may hit the color that was there
    scale, shift = (torch.tensor(values)[:, None, None] for values in (NORMALIZE.std, NORMALIZE.mean))
    pixels = drawn * scale + shift
    assert pixels.min() > -1e-5
    assert pixels.max() < 1 + 1e-5


@pytest.mark.parametrize("drawing", ["noise", "nsa"])
def test_drawing_depends_on_its_seed_alone(photographs, drawing):
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - what must not matter
    before = torch.get_rng_state()
    first = draw(photographs, drawing, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again, other = draw(photographs, drawing, seed=3), draw(photographs, drawing, seed=4)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[1], other[1])


def test_nothing_is_drawn_when_nothing_is_asked_for_or_given(photographs):
    drawn, marked = draw(photographs, "none")
    assert torch.equal(drawn, photographs)
    assert not marked.any()
    drawn, marked = draw(photographs[:0], "nsa")
    assert (len(drawn), marked.shape) == (0, (0, 1, 80, 96))


def test_noise_has_the_number_the_sizes_and_the_colors_of_the_paper():
    rng = np.random.default_rng(0)
    grey = np.full((256, 256, 3), 255, np.uint8)  # a color that noise never has
    drawn = [noise_rectangles(grey, rng) for _ in range(400)]
    clean = np.mean([not mask.any() for _, mask in drawn])
    assert clean == pytest.approx(1 / 5, abs=0.06)
    alone = [mask for _, mask in drawn if mask.any() and np.ptp(np.flatnonzero(mask.any(0))) < 50]
    sides = [int(mask.any(axis).sum()) for mask in alone for axis in (0, 1)]
    assert min(sides) >= 12
    assert len(alone) > 50
    single = [mask for mask in alone if mask.sum() == mask.any(0).sum() * mask.any(1).sum()]
    assert max(int(mask.any(axis).sum()) for mask in single for axis in (0, 1)) <= 50
    colors = np.concatenate([image[mask] for image, mask in drawn])
    assert colors.max() == 254
    assert colors.mean() == pytest.approx(127, abs=1)


@pytest.mark.parametrize("size", [(8, 8), (17, 40)])
def test_noise_fits_into_small_images(size):
    rng = np.random.default_rng(0)
    for _ in range(50):
        drawn, mask = noise_rectangles(np.zeros((*size, 3), np.uint8), rng)
        assert (drawn.shape[:2], mask.shape) == (size, size)
