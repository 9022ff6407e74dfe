"""The 22 views of an image that few-shot detectors take in place of the images they lack."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torchvision.transforms.v2 import functional as TF

from extensions.transforms.geometry import mirror, turn, warp

_DEGREES = (-45.0, -33.75, -22.5, -11.25, 11.25, 22.5, 33.75, 45.0)
_QUARTERS = (90.0, 180.0, 270.0)
_SHIFTS = tuple((x, y) for far in (0.2, 0.1) for x in (-far, far) for y in (-far, far))  # of half the sides

SUPPORT_VIEWS = (
    "original",
    *(f"turned by {degrees:g}" for degrees in _DEGREES),
    *(f"shifted by {x:g}, {y:g}" for x, y in _SHIFTS),
    "mirrored",
    "gray",
    *(f"turned by {degrees:g}" for degrees in _QUARTERS),
)
N_VIEWS = len(SUPPORT_VIEWS)


def support_views(
    images: torch.Tensor, *, mean: Sequence[float] = (0.0, 0.0, 0.0), std: Sequence[float] = (1.0, 1.0, 1.0)
) -> torch.Tensor:
    """Each image, turned, shifted, mirrored and in gray, as RegAD multiplies the few images of a new product.

    Huang, Guan, Jiang, Zhang, Spratling, Wang, "Registration based Few-Shot Anomaly Detection", 2022,
    https://arxiv.org/abs/2207.07361, section 3.3, with the angles and shifts of the authors' code. What comes into view
    beyond an edge is the image mirrored there. Nothing is drawn. A defect that is a turned or shifted part is among the
    views of a good one, and will not be found.

    Args:
        images: (N, 3, H, W) float.
        mean: Of each channel, that images were normalized by; gray is that of the pixels.
        std: Likewise.

    Returns:
        (22 * N, 3, H, W): the views of the first image in the order of `SUPPORT_VIEWS`, then those of the second.
    """
    size = (images.shape[-2], images.shape[-1])
    shifts = [images.new_tensor([[1.0, 0.0, x], [0.0, 1.0, y]]) for x, y in _SHIFTS]
    moves = [*(turn(degrees, size) for degrees in _DEGREES), *shifts, mirror(horizontally=True, vertically=False)]
    gray = TF.normalize(_gray(images, mean, std), list(mean), list(std))
    quarters = [turn(degrees, size) for degrees in _QUARTERS]
    views = [images, *(warp(images, move) for move in moves), gray, *(warp(images, move) for move in quarters)]
    return torch.stack(views, dim=1).flatten(0, 1)  # (22 * N, 3, H, W)


def _gray(images: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """(N, 3, H, W), not normalized."""
    pixels = images * images.new_tensor(std)[:, None, None] + images.new_tensor(mean)[:, None, None]
    return TF.rgb_to_grayscale(pixels, num_output_channels=3)
