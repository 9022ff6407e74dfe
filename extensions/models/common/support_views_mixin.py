"""Memory-bank models that are fitted to 22 views of each training image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch

from extensions.backbones.feature_source import FeatureSource
from extensions.models.common.imaging_mixin import ImagingMixin
from extensions.models.common.pre_processor import last_normalization
from extensions.models.common.support_views import support_views


class SupportViewsMixin(ImagingMixin):
    """Mix-in for models on a frozen backbone whose fit collects training images: put it before `BackboneMixin`.

    Attributes:
        support_views: Whether the fit sees the 22 views of `extensions.models.common.support_views` of each training
            image. Each image then passes the network, for features are cached of images as they are.
    """

    only_for_fit: ClassVar[frozenset[str]] = frozenset({"support_views"})
    support_views: bool = False
    feature_source: FeatureSource | None  # of `BackboneMixin`

    @property
    def takes_channels(self) -> bool:
        """Gray views are of red, green and blue."""
        return not self.support_views and super().takes_channels

    @property
    def changed_splits(self) -> tuple[str, ...]:
        """Splits whose images the backbone does not see as they are, so that nobody computes their features before."""
        return ("train",) if self.support_views else ()

    def training_step(self, batch: Any, *args: Any, **kwargs: Any) -> Any:
        """Collect a batch; of views those of one image at a time, so that memory does not grow with the batch."""
        if not self.support_views:
            return super().training_step(batch, *args, **kwargs)
        normalize = last_normalization(getattr(self.pre_processor, "transform", None))
        normalized = {} if normalize is None else {"mean": normalize.mean, "std": normalize.std}
        with self._unknown_features():
            for image in batch.image:  # (3, H, W)
                self.model(support_views(image[None], **normalized))
        return torch.tensor(0.0, requires_grad=True, device=self.device)  # as anomalib's: nothing is optimized

    def fit(self) -> None:
        """Fit to what was collected."""
        if not self.support_views:
            super().fit()
            return
        with self._unknown_features():  # a bank of these images as they are is another
            super().fit()

    @contextmanager
    def _unknown_features(self) -> Iterator[None]:
        """Nobody is asked for features of the images in the batch at work."""
        source, self.feature_source = self.feature_source, None
        try:
            yield
        finally:
            self.feature_source = source
