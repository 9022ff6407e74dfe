"""When the features of two engines count as equal."""

import torch

TOLERANCE = 1e-4  # largest difference of a feature, as a part of the layer's largest value


def agree(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether two feature maps of a layer are equal to `TOLERANCE` of the largest value; NaN agrees with nothing."""
    return difference(found, expected) <= TOLERANCE


def difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference, as a part of the largest expected value; infinite where shapes differ."""
    if found.shape != expected.shape:
        return float("inf")
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-12))
