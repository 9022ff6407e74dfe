"""Gaussians without covariances: the distances of covariances that are built and inverted in double precision."""

import pytest
import torch
from torch.nn import functional as F

from extensions.models.reg_ad.gaussian import RIDGE, PositionGaussians


def features(n: int, shapes: list[tuple[int, int, int]], seed: int) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return [F.relu(torch.randn(n, *shape, generator=rng)) for shape in shapes]


def plain_distances(samples: list[torch.Tensor], tested: list[torch.Tensor]) -> torch.Tensor:
    """By the definition, one position after the other: (N, 1, h, w)."""
    size = samples[0].shape[-2:]
    one, other = (
        torch.cat([F.interpolate(part, size=size) for part in maps], dim=1).flatten(2).double()
        for maps in (samples, tested)
    )
    found = []
    for position in range(one.shape[2]):
        rows, queries = one[:, :, position], other[:, :, position]
        covariance = torch.cov(rows.T) + RIDGE * torch.eye(rows.shape[1])
        centered = queries - rows.mean(dim=0)
        found.append(torch.einsum("nc,cd,nd->n", centered, torch.linalg.inv(covariance), centered).sqrt())
    return torch.stack(found, dim=1).reshape(-1, 1, *size)


@pytest.mark.parametrize(
    ("n_samples", "shapes"),
    [
        (11, [(8, 8, 8), (16, 4, 4), (32, 2, 2)]),  # fewer samples than channels, one map divides the other
        (11, [(8, 7, 9), (16, 4, 5), (32, 2, 3)]),
        (60, [(8, 7, 9), (16, 4, 5), (32, 2, 3)]),  # more samples than channels
        (56, [(8, 4, 4), (16, 2, 2), (32, 1, 1)]),  # as many
        (2, [(8, 3, 3)]),
    ],
)
def test_distances_equal_those_of_inverted_covariances(n_samples, shapes):
    samples, tested = features(n_samples, shapes, seed=0), features(5, shapes, seed=1)
    gaussians = PositionGaussians(len(shapes))
    gaussians.fit(samples)
    expected = plain_distances(samples, tested)
    torch.testing.assert_close(gaussians(tested).double(), expected, rtol=1e-4, atol=0)
    seen = plain_distances(samples, samples)
    torch.testing.assert_close(gaussians(samples).double(), seen, rtol=0, atol=1e-4 * float(expected.max()))


def test_nothing_as_large_as_a_covariance_is_kept():
    shapes = [(64, 8, 8), (128, 4, 4), (256, 2, 2)]
    gaussians = PositionGaussians(3)
    gaussians.fit(features(4, shapes, seed=0))
    n_kept = sum(tensor.numel() for tensor in gaussians.state_dict().values())
    assert gaussians.factor.shape == (64, 4, 4)
    assert n_kept == (1 + 4) * (64 * 64 + 128 * 16 + 256 * 4) + 64 * 4 * 4
    assert n_kept < 64 * 448**2 / 100


def test_state_loads_into_gaussians_that_were_never_fitted():
    shapes = [(8, 4, 4), (16, 2, 2)]
    tested = features(3, shapes, seed=1)
    for n_samples in (5, 40):
        gaussians, again = PositionGaussians(2), PositionGaussians(2)
        gaussians.fit(features(n_samples, shapes, seed=0))
        again.load_state_dict(gaussians.state_dict())
        assert torch.equal(again(tested), gaussians(tested))


def test_one_sample_is_an_error():
    with pytest.raises(ValueError, match="at least 2 samples, found 1"):
        PositionGaussians(1).fit([torch.rand(1, 3, 2, 2)])
