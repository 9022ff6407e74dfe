"""RegAD's network as a detector: registered features, and their distances to one Gaussian for each position."""

from collections.abc import Sequence

import torch
from anomalib.data import InferenceBatch
from torch import nn

from extensions.models.common.limits import check_fitted
from extensions.models.padim.anomaly_map import AnomalyMapGenerator
from extensions.models.reg_ad.exported import ExportedRegAd
from extensions.models.reg_ad.extractor import TransformedFeatureExtractor
from extensions.models.reg_ad.gaussian import PositionGaussians


class RegAdModel(nn.Module):
    """Scores images by the features that a registration network gives them.

    Shapes: images (N, 3, H, W) -> in training the features of the first layer (N, C, h, w), else pred_score (N,),
    anomaly_map (N, 1, H, W), both higher for more anomalous.

    Args:
        layers: Feature maps to use, highest resolution first.
        backbone: timm architecture.
        transformer: Kind of transform behind each layer.
    """

    def __init__(self, layers: Sequence[str], *, backbone: str, transformer: str) -> None:
        super().__init__()
        self.layers = list(layers)
        self.feature_extractor = TransformedFeatureExtractor(
            backbone, layers, transformer=transformer, requires_grad=False
        )
        self.feature_extractor.eval().requires_grad_(False)
        self.gaussian = PositionGaussians(len(self.layers))
        self.anomaly_map_generator = AnomalyMapGenerator()
        self.memory_bank: list[list[torch.Tensor]] = []  # of each batch and layer (N, C, h, w)

    def train(self, mode: bool = True) -> "RegAdModel":
        """Set the mode; the network's running statistics never change."""
        super().train(mode)
        self.feature_extractor.eval()
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor | InferenceBatch:
        """Score images; in training collect their features.

        Raises:
            RuntimeError: Nothing was fitted.
        """
        check_fitted("RegAd", self.gaussian.factor, training=self.training)
        with torch.no_grad():
            found = self.feature_extractor.registered(images)
        features = [found[layer] for layer in self.layers]
        if self.training:
            self.memory_bank.append(features)
            return features[0]
        anomaly_map = self.anomaly_map_generator.enlarge(self.gaussian(features), images.shape[-2:])
        return InferenceBatch(pred_score=anomaly_map.amax(dim=(1, 2, 3)), anomaly_map=anomaly_map)

    def exportable(self, image_size: tuple[int, int]) -> nn.Module:
        """The fitted network as an exported model computes it, for images of this height and width in px."""
        kernel = self.anomaly_map_generator.blur.kernel
        return ExportedRegAd(self.feature_extractor, self.gaussian, kernel=kernel, image_size=image_size)

    def fit(self) -> None:
        """Fit one Gaussian a position to what training collected, and forget the images."""
        if not self.memory_bank:
            msg = "RegAd has seen no training images, so it cannot fit its Gaussians: fit first."
            raise ValueError(msg)
        features = [torch.cat(maps) for maps in zip(*self.memory_bank, strict=True)]
        self.memory_bank = []
        self.gaussian.fit(features)
