"""Scores enlarged in an exported model: one matrix for each axis, and what a region of interest changes."""

from __future__ import annotations

import torch
from torch import nn

from extensions.models.common.inside import LEAST_WEIGHT, Inside, InsideOfImages
from extensions.models.common.separable_upsampling import SeparableUpsampler


class ExportedMap(nn.Module):
    """Scores of positions, (N, P), as maps (N, 1, H, W): enlarged, blurred, from what is inside of a region alone.

    Args:
        mode: Of the interpolation, see `SeparableUpsampler`.
        map_size: Rows and columns of positions.
        image_size: Height and width in px of the maps.
        kernel: (1, 1, k, k) of the blur.
        inside: Of the model; None where all counts. Of a fixed region scores are those of the positions `rows` alone.
    """

    vertical: torch.Tensor
    horizontal: torch.Tensor
    rows: torch.Tensor | None
    places: torch.Tensor | None
    gain: torch.Tensor | None

    def __init__(
        self,
        mode: str,
        *,
        map_size: tuple[int, int],
        image_size: tuple[int, int],
        kernel: torch.Tensor,
        inside: InsideOfImages | None = None,
    ) -> None:
        super().__init__()
        self.map_size = map_size
        vertical, horizontal = SeparableUpsampler(mode).matrices(map_size, image_size, kernel.float())
        self.register_buffer("vertical", vertical.float())
        self.register_buffer("horizontal", horizontal.float())
        self.by_image = inside if inside is not None and inside.mask is None else None
        rows = places = gain = None
        if inside is not None and inside.mask is not None:
            fixed = Inside(inside.mask.cpu(), is_fixed=True)
            rows = fixed.rows(map_size)  # (P inside,)
            places = torch.full((map_size[0] * map_size[1],), len(rows))  # where each position finds its score, or 0
            places[rows] = torch.arange(len(rows))
            positions = fixed.positions(map_size).double()
            gain = (fixed.pixels / (vertical @ positions @ horizontal).clamp_min(LEAST_WEIGHT)).float()
        self.register_buffer("rows", rows)
        self.register_buffer("places", places)
        self.register_buffer("gain", gain)

    def kept(self, embedding: torch.Tensor) -> torch.Tensor:
        """What is inside of an embedding (N, P, C) of all positions."""
        return embedding if self.rows is None else embedding.index_select(1, self.rows)

    def forward(self, scores: torch.Tensor, inside: Inside | None) -> torch.Tensor:
        """Maps of scores (N, P) of positions that are `kept`; `inside` as `find` gave it."""
        if self.places is not None:
            empty = torch.zeros_like(scores[:, :1])
            scores = torch.cat([scores, empty], dim=1).index_select(1, self.places)
        maps = self._enlarged(scores.reshape(-1, 1, *self.map_size))
        if self.gain is not None:
            return maps * self.gain
        return maps if inside is None else maps / self._weights(inside) * inside.pixels

    def find(self, images: torch.Tensor) -> tuple[Inside | None, torch.Tensor | None]:
        """Where it differs by image: what is inside of images (N, 3, H, W), and of positions, (N, P)."""
        if self.by_image is None:
            return None, None
        inside = self.by_image(images)
        return inside, inside.positions(self.map_size).flatten(1)

    def _enlarged(self, maps: torch.Tensor) -> torch.Tensor:
        return self.vertical @ maps @ self.horizontal

    def _weights(self, inside: Inside) -> torch.Tensor:
        return self._enlarged(inside.positions(self.map_size)).clamp_min(LEAST_WEIGHT)
