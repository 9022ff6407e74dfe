"""What the rows share and is made once, when the first row asks for it: images, limits, features."""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmark.speed.images import SpeedImages, copy_images
from benchmark.speed.settings import Settings

if TYPE_CHECKING:
    from benchmark.speed.limits import Limits
    from extensions.data.datamodules.datamodule import WorkbenchDataModule


class Bench:
    """The place where rows are measured.

    Args:
        settings: What is measured.
        source: Where the images come from.
        scratch: An empty folder for copies; whoever made it removes it.
    """

    def __init__(self, settings: Settings, source: WorkbenchDataModule, scratch: Path) -> None:
        self.settings = settings
        self.source = source
        self.scratch = scratch

    @cached_property
    def images(self) -> SpeedImages:
        """The images as they are."""
        return self.copy("images")

    @cached_property
    def large(self) -> SpeedImages:
        """The images enlarged, so that decoding costs something."""
        return self.copy("large", side=self.settings.large_side)

    def copy(
        self, name: str, *, n_train: int | None = None, n_test: int | None = None, side: int | None = None
    ) -> SpeedImages:
        """A copy of the images, or of the first ones."""
        own = self.settings
        return copy_images(
            self.source, self.scratch / name, n_train=n_train or own.n_train, n_test=n_test or own.n_test, side=side
        )

    @cached_property
    def limits(self) -> Limits:
        """Of the images as they are."""
        return self._measure(self.images)

    @cached_property
    def large_limits(self) -> Limits:
        """Of the enlarged images."""
        return self._measure(self.large)

    def measured_limits(self) -> dict[str, dict[str, float | None]]:
        """The limits that a row has asked for, by the images they belong to."""
        kinds = {"images": "limits", "large": "large_limits"}
        return {kind: asdict(self.__dict__[name]) for kind, name in kinds.items() if name in self.__dict__}

    @cached_property
    def embedding(self) -> torch.Tensor:
        """What PatchCore collects from the training images, (n_patches, n_channels)."""
        from benchmark.speed.features import image_embedding

        return image_embedding(self.images.train, self.settings)

    def _measure(self, images: SpeedImages) -> Limits:
        from benchmark.speed.limits import measure_limits
        from benchmark.speed.models import our_padim, stock_padim

        extractor = stock_padim(our_padim(self.settings)).model.feature_extractor
        return measure_limits(images.train, extractor, image_size=self.settings.image_size)
