"""Where a frozen extractor finds features that are known already."""

from collections.abc import Callable
from typing import Any, Protocol

import torch

Features = dict[str, torch.Tensor]


class FeatureSource(Protocol):
    """What is asked before a frozen backbone computes; it never gives other numbers than computing would.

    Whoever runs a model sets it as `model.feature_source`, see `extensions.models.common.cached_run`.
    """

    def features(self, images: torch.Tensor, compute: Callable[[torch.Tensor], Features]) -> Features:
        """Features of images (N, 3, H, W), for each layer (N, C, h, w): known ones, else what `compute` gives."""

    def promise(self, images: torch.Tensor) -> Callable[[], Features] | None:
        """What gives the features of images at any later time; None when they are not known."""

    def bank(
        self,
        n_kept: int,
        description: dict[str, Any],
        compute: Callable[[Any], torch.Tensor],
        *,
        is_nested: bool,
    ) -> torch.Tensor:
        """A memory bank that was selected before from the patches of this fit's images, or a computed one.

        Args:
            n_kept: Patches in the bank.
            description: What decides the bank beside the patches, their order and the state of the random generators.
            compute: Selects it; gets where it may keep what it has so far, or None.
            is_nested: Whether a smaller bank is the first part of a larger one.

        Returns:
            (n_kept, n_channels).
        """
