"""A frozen backbone's features, averaged over the image, and a one-class SVM on them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from anomalib.data import InferenceBatch
from torch import nn

from extensions.backbones.frozen import FrozenFeatureExtractor
from extensions.models.common.inside import Inside, find_inside
from extensions.models.common.one_class_svm import OneClassSvm


class BackboneOcSvmModel(nn.Module):
    """Scores images by their pooled features.

    Shapes: images (N, 3, H, W) -> in training features (N, D), else pred_score (N,), higher for more anomalous; there
    is no anomaly_map. D is the number of channels of all layers.

    Args:
        layers: Feature maps to use.
        backbone: timm name.
        nu: As `OneClassSvm`.
        gamma: As `OneClassSvm`.
    """

    def __init__(self, layers: Sequence[str], *, backbone: str, nu: float, gamma: str | float) -> None:
        super().__init__()
        self.layers = list(layers)
        self.feature_extractor = FrozenFeatureExtractor(backbone, self.layers, pre_trained=False).eval()
        self.svm = OneClassSvm(nu=nu, gamma=gamma)
        self.embedding_store: list[torch.Tensor] = []

    def train(self, mode: bool = True) -> BackboneOcSvmModel:
        """Set the mode; the backbone's running statistics never change."""
        super().train(mode)
        self.feature_extractor.eval()
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor | InferenceBatch:
        """Score images; in training collect their features."""
        maps = self.feature_extractor(images)
        inside = find_inside(self, images)
        means = [maps[layer].mean(dim=(2, 3)) for layer in self.layers]
        if inside is not None:
            means = [_mean_inside(maps[layer], inside) for layer in self.layers]
        features = torch.cat(means, dim=1)  # (N, D)
        if self.training:
            self.embedding_store.append(features.detach())
            return features
        return InferenceBatch(pred_score=self.svm(features))

    def fit(self) -> None:
        """Fit the SVM to what training collected, and forget the images."""
        features = torch.cat(self.embedding_store) if self.embedding_store else torch.zeros(0, 1)
        self.embedding_store.clear()
        self.svm.fit(features)


def _mean_inside(maps: torch.Tensor, inside: Inside) -> torch.Tensor:
    """Mean (N, C) of feature maps (N, C, h, w) over the positions inside."""
    positions = inside.positions(maps.shape[-2:]).to(maps)
    return (maps * positions).sum(dim=(2, 3)) / positions.sum(dim=(2, 3))
