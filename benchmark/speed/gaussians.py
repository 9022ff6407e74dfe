"""The row of RegAD's Gaussians, against inverting a covariance of all channels at each position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from benchmark.speed.timing import Measurement, take_turns

if TYPE_CHECKING:
    from benchmark.speed.bench import Bench

N_SAMPLES = 44  # the 22 views of two images
CHANNELS = {64: 4, 128: 8, 256: 16}  # of ResNet-18's layers 1 to 3, and their strides
N_TESTED = 8
N_PLAIN = 64  # positions that are inverted the plain way; each costs the same


def registration_gaussians(bench: Bench) -> Measurement:
    """The Gaussians of 44 made-up feature maps of ResNet-18, and the distances of 8 others to them."""
    from extensions.models.reg_ad.gaussian import PositionGaussians

    size = bench.settings.image_size
    samples, tested = made_up_features(N_SAMPLES, size, seed=0), made_up_features(N_TESTED, size, seed=1)
    places = torch.arange(samples[0][0, 0].numel())[:: max(1, samples[0][0, 0].numel() // N_PLAIN)][:N_PLAIN]
    embedding, queries = (at_positions(maps, places) for maps in (samples, tested))

    def ours() -> PositionGaussians:
        gaussians = PositionGaussians(len(samples))
        gaussians.fit(samples)
        return gaussians

    turns = take_turns(ours, lambda: plain_gaussians(embedding), rounds=bench.settings.rounds)
    found = turns.ours_result(tested).flatten(1)[:, places].T  # (p, N)
    expected = plain_distances(queries, *turns.reference_result)
    n_positions, n_channels = samples[0][0, 0].numel(), embedding.shape[2]
    n_bytes = sum(one.nbytes for one in turns.ours_result.state_dict().values())
    read = bench.limits.reading(sum(maps.nbytes for maps in samples), "all features read once")
    facts = {
        "work": f"Gaussians of {n_channels} channels at {n_positions} positions from {N_SAMPLES} samples",
        "data": f"made-up features of {size} x {size} px",
        "reference": "covariances of all channels, inverted",
        "bound": 10,
        "agreement": f"distances of {N_TESTED} maps (of the largest)",
        "difference": float((found - expected).abs().max() / expected.max()),
        "extrapolated": len(places) < n_positions,
        "detail": (
            f"kept: {n_bytes / 1e6:.0f} MB, of inverses {n_positions * n_channels**2 * 4 / 1e6:.0f} MB; "
            f"inverted the plain way: {len(places)} positions"
        ),
    }
    plain_seconds = [seconds * n_positions / len(places) for seconds in turns.reference]
    turns.reference = plain_seconds
    return turns.measurement(read, **facts)


def made_up_features(n: int, image_size: int, *, seed: int) -> list[torch.Tensor]:
    """Maps (n, C, h, w) of ResNet-18's layers, half of them 0 as after a rectifier, of a mean for each position."""
    rng, about = (torch.Generator().manual_seed(number) for number in (seed, 2))
    shapes = [(c, -(-image_size // stride), -(-image_size // stride)) for c, stride in CHANNELS.items()]
    return [F.relu(torch.randn(n, *shape, generator=rng) + torch.randn(shape, generator=about)) for shape in shapes]


def at_positions(maps: list[torch.Tensor], places: torch.Tensor) -> torch.Tensor:
    """Features of all layers at some positions of the first, (p, n, C)."""
    enlarged = [F.interpolate(one, size=maps[0].shape[-2:]).flatten(2)[:, :, places] for one in maps]
    return torch.cat(enlarged, dim=1).permute(2, 0, 1).contiguous()


def plain_gaussians(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (p, 1, C) and inverse covariance (p, C, C) of rows (p, n, C)."""
    from extensions.models.reg_ad.gaussian import RIDGE

    mean = rows.mean(dim=1, keepdim=True)
    centered = rows - mean
    covariances = centered.mT @ centered / (rows.shape[1] - 1)
    return mean, torch.linalg.inv(covariances + RIDGE * torch.eye(rows.shape[2]))


def plain_distances(rows: torch.Tensor, mean: torch.Tensor, inverses: torch.Tensor) -> torch.Tensor:
    """Mahalanobis distances (p, N) of rows (p, N, C)."""
    centered = rows - mean
    return ((centered @ inverses) * centered).sum(dim=2).sqrt()
