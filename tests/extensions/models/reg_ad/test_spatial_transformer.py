"""Transforms of maps: matrices as written in the paper, inverses that undo them, torch's own sampling and pooling."""

import math

import pytest
import torch
from torch.nn import functional as F

from extensions.models.reg_ad.spatial_transformer import (
    PARTS,
    SpatialTransformer,
    compose,
    invert,
    matrices_of,
    mean_to,
    pooled_size,
    sample,
)


def smooth_maps(side: int = 64) -> torch.Tensor:
    """A bump in the middle that is 0 at the edges: (1, 1, side, side)."""
    axis = torch.linspace(-1, 1, side)
    return (torch.exp(-16 * (axis[:, None] - 0.1) ** 2 - 12 * (axis[None] + 0.05) ** 2))[None, None]


def test_rotation_and_scale_give_the_matrix_of_the_official_code():
    angle, x, y = 0.3, 1.1, 0.9
    expected = [[math.cos(angle) * x, -math.sin(angle), 0], [math.sin(angle), math.cos(angle) * y, 0]]
    found = matrices_of(torch.tensor([[angle, x, y]]), "rotation_scale")
    torch.testing.assert_close(found, torch.tensor([expected]))


@pytest.mark.parametrize("transformer", PARTS)
def test_a_new_transformer_changes_nothing(transformer):
    maps = torch.rand(3, 8, 14, 14)
    spatial = SpatialTransformer(8, pooled=4, transformer=transformer).eval()
    transformed, matrices = spatial(maps)
    torch.testing.assert_close(matrices, torch.eye(2, 3).expand(3, 2, 3))
    torch.testing.assert_close(transformed, maps)


def test_inverse_undoes_a_transform():
    maps = smooth_maps()
    matrices = torch.tensor([[[0.9, -0.3, 0.1], [0.25, 1.1, -0.05]]])
    inverse = invert(matrices)
    full = torch.cat([matrices, torch.tensor([[[0.0, 0.0, 1.0]]])], dim=1)
    torch.testing.assert_close(inverse, torch.linalg.inv(full)[:, :2])
    moved = sample(maps, matrices)
    assert (moved - maps).abs().max() > 0.2
    torch.testing.assert_close(sample(moved, inverse), maps, atol=0.02, rtol=0)


def test_one_sampling_by_a_product_is_two_after_another():
    maps = smooth_maps()
    first, second = matrices_of(torch.tensor([[0.3, 1.1, 0.9], [-0.2, 0.8, 1.2]]), "rotation_scale").split(1)
    twice = sample(sample(maps, first), second)
    torch.testing.assert_close(sample(maps, compose(first, second)), twice, atol=0.02, rtol=0)


def test_sampling_is_torchs_own():
    maps, matrices = torch.rand(2, 3, 5, 7), torch.randn(2, 2, 3)
    grid = F.affine_grid(matrices, [2, 3, 5, 7], align_corners=False)
    expected = F.grid_sample(maps, grid, padding_mode="reflection", align_corners=False)
    torch.testing.assert_close(sample(maps, matrices), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (14, 14), (20, 9), (28, 7)])
def test_pooling_is_torchs_own(height, width):
    maps = torch.rand(2, 3, height, width)
    torch.testing.assert_close(mean_to(maps, 14), F.adaptive_avg_pool2d(maps, 14))


def test_images_of_224_px_are_not_pooled_further_as_in_the_official_code():
    assert [pooled_size(stride) for stride in (4, 8, 16)] == [14, 7, 4]
