"""Which pixels of images and which positions of feature maps lie in a region of interest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional as F

LEAST_WEIGHT = 1e-6
NEAR = 1e-4  # of a color, where resizing rounds
Enlarge = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Inside:
    """Of a batch of images.

    Attributes:
        pixels: (1 or N, 1, H, W) float, 1 inside, else 0.
        is_fixed: Whether they are those of any image.
        known: What is the same for any image where they are fixed, computed once; it may be added to.
    """

    pixels: torch.Tensor
    is_fixed: bool
    known: dict[tuple[object, ...], torch.Tensor] = field(default_factory=dict)

    def positions(self, size: tuple[int, int] | torch.Size) -> torch.Tensor:
        """Positions (1 or N, 1, h, w) of a feature map with any pixel inside: 1, else 0."""
        height, width = self.pixels.shape[-2:]
        if height % size[0] or width % size[1]:
            return F.adaptive_max_pool2d(self.pixels, tuple(size))
        return F.max_pool2d(self.pixels, (height // size[0], width // size[1]))

    def rows(self, size: tuple[int, int] | torch.Size) -> torch.Tensor:
        """Indices (P,) of the positions inside where they are those of any image."""
        place = ("rows", tuple(size), self.pixels.device)
        if place not in self.known:
            self.known[place] = self.positions(size).flatten().nonzero().flatten()
        return self.known[place]

    def gathered(self, features: torch.Tensor) -> torch.Tensor:
        """Features (N, C, h, w) of what is inside: (N, C, P, 1); where P differs by image (N, C, h, w), 0 outside."""
        if not self.is_fixed:
            return features * self.positions(features.shape[-2:]).to(features)
        return features.flatten(2)[:, :, self.rows(features.shape[-2:]), None]

    def scattered(self, values: torch.Tensor, size: tuple[int, int] | torch.Size) -> torch.Tensor:
        """Values (N, P) of the positions inside as maps (N, 1, h, w), 0 outside; they are those of any image."""
        grid = values.new_zeros(len(values), size[0] * size[1])
        grid[:, self.rows(size)] = values
        return grid.reshape(-1, 1, *size)

    def spread(self, enlarge: Enlarge, scores: torch.Tensor, *, key: object) -> torch.Tensor:
        """Enlarge scores (N, 1, h, w) by a linear map, from what is inside alone: (N, 1, H, W), 0 outside.

        The weights of what is outside are left out and the others add up to 1 again.

        Args:
            enlarge: The linear map.
            scores: Of positions.
            key: Names the map among those of a network.
        """
        positions = self.positions(scores.shape[-2:]).to(scores)
        return enlarge(scores * positions) * self._gain(enlarge, positions, key)

    def _gain(self, enlarge: Enlarge, positions: torch.Tensor, key: object) -> torch.Tensor:
        """One over the weights of what is inside, (1 or N, 1, H, W), 0 outside.

        Of a fixed region it is computed once, so that an exported network holds it as a constant: what the exporter
        folded itself was wrong for reverse distillation.
        """
        place = (key, tuple(positions.shape), positions.device, positions.dtype)
        if self.is_fixed and place in self.known:
            return self.known[place]
        with torch.inference_mode(mode=False), torch.no_grad():
            gain = self.pixels.to(positions) / enlarge(positions).clamp_min(LEAST_WEIGHT)
        if self.is_fixed and not torch.compiler.is_compiling():
            self.known[place] = gain
        return gain


class InsideOfImages(nn.Module):
    """Tells what is inside of images as a pre-processor gives them, 0 outside.

    Args:
        mask: (1, 1, H, W) float, 1 inside; None where it differs by image: then a pixel of one color is outside.
        outside: That color, (1, C, 1, 1); None for zeros.
    """

    mask: torch.Tensor | None
    outside: torch.Tensor | None

    def __init__(self, mask: torch.Tensor | None, *, outside: torch.Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("outside", outside, persistent=False)
        self.register_buffer("mask", mask, persistent=False)  # a checkpoint has it as part of `imaging`
        self._known: dict[tuple[object, ...], torch.Tensor] = {}

    def forward(self, images: torch.Tensor) -> Inside:
        """Of images (N, 3, H, W)."""
        if self.mask is not None:
            return Inside(self.mask, is_fixed=True, known=self._known)
        differs = images != 0 if self.outside is None else (images - self.outside).abs() > NEAR
        return Inside(differs.any(dim=1, keepdim=True).to(images), is_fixed=False)

    def filled(self, images: torch.Tensor, inside: Inside) -> torch.Tensor:
        """Images (N, C, H, W) with nothing left outside."""
        if self.outside is None:
            return images * inside.pixels.to(images)
        return torch.where(inside.pixels > 0, images, self.outside)


def find_inside(network: nn.Module, images: torch.Tensor) -> Inside | None:
    """What is inside of images (N, 3, H, W) where a network was given a region as its module `inside`; else None."""
    found = getattr(network, "inside", None)
    return None if found is None else found(images)
