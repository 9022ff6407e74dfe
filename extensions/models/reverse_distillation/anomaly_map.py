"""Reverse distillation's anomaly map: cosine distances of all layers, enlarged, combined and blurred."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from anomalib.models.components import GaussianBlur2d
from torch import nn
from torch.nn import functional as F

from extensions.models.common.inside import Inside

Mode = Literal["add", "multiply"]


class AnomalyMapGenerator(nn.Module):
    """Anomalib's maps at the size of the images at hand, with a blur that is built once.

    Args:
        mode: Whether the maps of the layers are added or multiplied.
        sigma: Standard deviation of the blur in px.

    Raises:
        ValueError: Another mode.
    """

    def __init__(self, mode: Mode = "add", sigma: int = 4) -> None:
        super().__init__()
        if mode not in ("add", "multiply"):
            msg = f"anomaly_map_mode is {mode!r}; expected add or multiply."
            raise ValueError(msg)
        self.mode = mode
        size = 2 * int(4.0 * sigma + 0.5) + 1
        self.blur = GaussianBlur2d(kernel_size=(size, size), sigma=(sigma, sigma), channels=1)

    def forward(
        self,
        encoded: Sequence[torch.Tensor],
        decoded: Sequence[torch.Tensor],
        image_size: tuple[int, int] | torch.Size,
        *,
        inside: Inside | None = None,
    ) -> torch.Tensor:
        """Compare features.

        Args:
            encoded: For each layer (N, C, h, w).
            decoded: Likewise.
            image_size: Height and width of the maps in px.
            inside: What counts; None for all.

        Returns:
            (N, 1, height, width), higher is more anomalous.
        """
        distances = [
            1 - F.cosine_similarity(wanted, found)[:, None] for wanted, found in zip(encoded, decoded, strict=True)
        ]
        enlarge = partial(F.interpolate, size=image_size, mode="bilinear", align_corners=True)
        maps = [
            enlarge(scores) if inside is None else inside.spread(enlarge, scores, key="layer") for scores in distances
        ]
        stacked = torch.stack(maps)  # (layers, N, 1, height, width)
        joined = stacked.sum(dim=0) if self.mode == "add" else stacked.prod(dim=0)
        return self.blur(joined) if inside is None else inside.spread(self.blur, joined, key="blur")
