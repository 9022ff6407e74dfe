"""Features of a frozen backbone, computed once an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from extensions.cache.store import key_of
from extensions.cache.transform_parts import transform_repr

if TYPE_CHECKING:
    from torchvision.transforms.v2 import Transform

    from extensions.backbones.frozen import FrozenFeatureExtractor
    from extensions.cache.images import ImageSplit

Features = dict[str, torch.Tensor]


class FeatureStore:
    """The feature maps of images in a cache, by image and layer.

    Args:
        extractor: Computes what is missing.
        layers: What is computed for a missing image: the extractor's layers and those that others will ask for.
        weights: What decides the extractor's tensors, such as the sha256 of the weights file.
        normalize: What is done to a batch of images before the extractor sees it.
        engine: What computes.
    """

    def __init__(
        self,
        extractor: FrozenFeatureExtractor,
        *,
        layers: Sequence[str],
        weights: str,
        normalize: Transform | None,
        engine: str,
    ) -> None:
        self.layers = list(layers)
        self.extractor = extractor
        self._normalize = normalize
        self._how = key_of(
            arch=str(extractor.backbone), weights=weights, normalize=transform_repr(normalize), engine=engine
        )

    def key(self, split: ImageSplit, index: int, layer: str) -> str:
        """Name of the feature map of an image."""
        return key_of(image=split.keys[index], how=self._how, layer=layer)

    def is_cached(self, split: ImageSplit, index: int) -> bool:
        """Whether all layers of an image are there, and its mask; marks them as used."""
        return split.has_mask(index) and all(
            split.cache.has("features", self.key(split, index, layer)) for layer in self.layers
        )

    def compute(self, images: torch.Tensor) -> dict[str, np.ndarray]:
        """Features of images (N, 3, H, W) as `ImageSplit.load` gives them: for each layer (N, C, h, w)."""
        device = next(self.extractor.feature_extractor.parameters()).device
        with torch.no_grad():
            images = images if self._normalize is None else self._normalize(images)
            return {name: part.cpu().numpy() for name, part in self.extractor.compute(images.to(device)).items()}

    def keep(self, split: ImageSplit, index: int, features: dict[str, np.ndarray], place: int) -> None:
        """Put the features of one image of a batch into the cache."""
        for layer in self.layers:
            split.cache.put("features", self.key(split, index, layer), features[layer][place])

    def batch(self, split: ImageSplit, indices: Sequence[int], layers: Sequence[str]) -> Features:
        """Features of some images of a split, for each layer (N, C, h, w); what is missing after all is computed."""
        batch: dict[str, np.ndarray] = {}
        for place, index in enumerate(indices):
            found = {layer: split.cache.get("features", self.key(split, index, layer)) for layer in layers}
            if any(feature is None for feature in found.values()):
                computed = self.compute(torch.from_numpy(split.load(index)[0].copy())[None])
                self.keep(split, index, computed, 0)
                found = {layer: computed[layer][0] for layer in layers}
            for layer, feature in found.items():
                assert feature is not None
                if layer not in batch:
                    batch[layer] = np.empty((len(indices), *feature.shape), feature.dtype)
                batch[layer][place] = feature
        return {layer: torch.from_numpy(batch[layer]) for layer in layers}
