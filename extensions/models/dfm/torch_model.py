"""DFM's network: a PCA of all features of an image, and what it cannot restore."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from anomalib.data import InferenceBatch
from anomalib.models import components
from anomalib.models.image.dfm.torch_model import DFMModel as AnomalibDFMModel
from torch.nn import functional as F

from extensions.backbones.frozen import FrozenFeatureExtractor
from extensions.models.common.inside import Inside, find_inside
from extensions.models.common.limits import check_fitted


class PrincipalComponents(components.PCA):
    """Anomalib's PCA by an eigendecomposition of the smaller of the two products, which takes less time.

    As many components are kept as it takes to reach the part of the variance that is asked for, as in scikit-learn;
    anomalib keeps one less.
    """

    def fit(self, dataset: torch.Tensor) -> None:
        """Find the components; the data set is left as it is.

        Args:
            dataset: (n_samples, n_features).

        Raises:
            ValueError: Fewer than two samples, or none that differs from the others.
        """
        n_samples, n_features = dataset.shape
        centered = dataset.to(torch.float64, copy=True)
        mean = centered.mean(dim=0)
        centered -= mean
        is_wide = n_samples < n_features
        squares, vectors = torch.linalg.eigh(centered @ centered.mT if is_wide else centered.mT @ centered)
        squares, vectors = squares.flip(0).clamp_min(0), vectors.flip(1)
        total = squares.sum()
        if n_samples < 2 or not total > 0:
            msg = (
                f"DFM found {n_samples} training image{'s' * (n_samples != 1)}, with no difference between their "
                "features: expected at least 2 that differ; give more images"
            )
            raise ValueError(msg)
        n_kept = int((squares.cumsum(0) / total < self.n_components).sum()) + 1
        n_kept = min(n_kept, int((squares > squares[0] * n_samples * torch.finfo(squares.dtype).eps).sum()))
        kept = vectors[:, :n_kept]
        if is_wide:
            kept = centered.mT @ kept / squares[:n_kept].sqrt()
        self.num_components = torch.tensor([n_kept], device=dataset.device)
        self.singular_vectors = kept.to(dataset.dtype).contiguous()
        self.singular_values = squares[:n_kept].sqrt().to(dataset.dtype)
        self.mean = mean.to(dataset.dtype)


class DfmModel(AnomalibDFMModel):
    """Anomalib's DFM network for any number of layers and images, with maps of their places.

    Shapes: images (N, 3, H, W) -> in training features (N, D), else pred_score (N,), anomaly_map (N, 1, H, W), both
    higher for more anomalous. D is the number of channels of all layers times that of positions.

    Args:
        layers: Feature maps to use, highest resolution first.
        backbone: timm name.
        pooling_kernel_size: Positions of the last layer's map that are averaged to one, along each axis.
        pca_level: In (0, 1], the part of the variance of good images that is restored.
    """

    feature_extractor: FrozenFeatureExtractor
    memory_bank: list[torch.Tensor]

    def __init__(self, layers: Sequence[str], *, backbone: str, pooling_kernel_size: int, pca_level: float) -> None:
        super(AnomalibDFMModel, self).__init__()  # anomalib's own takes one layer
        self.layers = list(layers)
        self.pooling_kernel_size = pooling_kernel_size
        self.pca_model = PrincipalComponents(pca_level)
        self.feature_extractor = FrozenFeatureExtractor(backbone, self.layers).eval()
        self.memory_bank = []

    def forward(self, batch: torch.Tensor) -> torch.Tensor | InferenceBatch:
        """Score images; in training collect their features.

        Raises:
            RuntimeError: Nothing was fitted.
        """
        check_fitted("Dfm", self.pca_model.mean, training=self.training)
        inside = find_inside(self, batch)
        maps = self.pooled_features(batch)  # (N, C, h, w)
        kept = maps if inside is None else inside.gathered(maps)
        features = kept.flatten(1)  # (N, D)
        if self.training:
            self.memory_bank.append(features)
            return features
        return self._scored(features, kept.shape, maps.shape, batch, inside)

    def pooled_features(self, images: torch.Tensor) -> torch.Tensor:
        """Features (N, C, h, w) of images, of all layers on the grid of the last, each the mean of a block of its map.

        A map that the kernel does not divide is pooled in blocks that differ by one position and cover all of it.
        Anomalib leaves out the rest at its right and lower edge, and then stretches what it has over the image.
        """
        with torch.no_grad():
            found = self.feature_extractor(images)
        size = [-(-side // self.pooling_kernel_size) for side in found[self.layers[-1]].shape[-2:]]
        return torch.cat([F.adaptive_avg_pool2d(found[layer], size) for layer in self.layers], dim=1)

    def _scored(
        self,
        features: torch.Tensor,
        kept: torch.Size,
        maps: torch.Size,
        images: torch.Tensor,
        inside: Inside | None,
    ) -> InferenceBatch:
        """Scores and maps of images from their features (N, D), of positions that are `kept` out of all of `maps`."""
        centered = features - self.pca_model.mean
        basis = self.pca_model.singular_vectors
        errors = (centered - centered @ basis @ basis.mT).square().reshape(-1, *kept[1:]).sum(dim=1, keepdim=True)
        size = maps[-2:]
        if inside is None:
            return InferenceBatch(pred_score=errors.sum(dim=(1, 2, 3)), anomaly_map=_enlarge(errors, images.shape[-2:]))
        errors = inside.scattered(errors.flatten(1), size) if inside.is_fixed else errors * inside.positions(size)
        return InferenceBatch(
            pred_score=errors.sum(dim=(1, 2, 3)),
            anomaly_map=inside.spread(lambda one: _enlarge(one, images.shape[-2:]), errors, key="map"),
        )

    def fit(self) -> None:
        """Fit the PCA to what training collected, and forget the images.

        Raises:
            ValueError: Fewer than two images, or none that differ.
        """
        features = torch.cat(self.memory_bank) if self.memory_bank else torch.zeros(0, 1)
        self.memory_bank = []
        self.pca_model.fit(features)


def _enlarge(maps: torch.Tensor, size: torch.Size) -> torch.Tensor:
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
