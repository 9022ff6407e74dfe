"""RegAD's network: a backbone with spatial transformers, and the siamese head that trains it."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from extensions import backbones
from extensions.models.reg_ad.extractor import TransformedFeatureExtractor
from extensions.models.reg_ad.spatial_transformer import check_transformer


class RegistrationNetwork(nn.Module):
    """Aligns images of one product in the space of features, for products that it has not seen.

    Chaoqin Huang, Haoyan Guan, Aofan Jiang, Ya Zhang, Michael Spratling, Yanfeng Wang: "Registration based Few-Shot
    Anomaly Detection", ECCV 2022, https://arxiv.org/abs/2207.07361. The backbone starts random: load its weights with
    `backbones.load_backbone_weights(network.extractor, backbone)`. Images are normalized as the backbone's weights
    expect it; the official code leaves them in [0, 1]. Transformers take images of any size. The backbone's batch
    normalization keeps the statistics of its weights, in training too (official code: of each batch), for they are not
    in all weights files apart from the convolutions.

    Shapes: images (N, 3, H, W) -> the transformed map of the last layer (N, C, h, w).

    Args:
        backbone: timm name.
        layers: Feature maps behind which a transformer stands; None takes the last ones at strides 4, 8 and 16.
        transformer: Kind of transform: rotation_scale as published, or another key of `spatial_transformer.PARTS`.

    Raises:
        ValueError: Unknown backbone, layer or transformer.
    """

    def __init__(
        self, backbone: str = "resnet18", layers: Sequence[str] | None = None, *, transformer: str = "rotation_scale"
    ) -> None:
        super().__init__()
        check_transformer(transformer)
        backbones.register()
        architecture = backbones.architecture(backbone)
        if layers is None:
            layers = backbones.default_layers(architecture, reductions=(4, 8, 16))
        self.extractor = TransformedFeatureExtractor(
            architecture, backbones.check_layers(architecture, layers), transformer=transformer
        )
        channels = self.extractor.out_dims[-1]
        self.encoder = nn.Sequential(
            *_pointwise(channels), *_pointwise(channels), nn.Conv2d(channels, channels, 1, bias=False)
        )
        self.predictor = nn.Sequential(*_pointwise(channels), nn.Conv2d(channels, channels, 1, bias=False))

    def train(self, mode: bool = True) -> "RegistrationNetwork":
        """Set the mode of all but the backbone's batch normalization."""
        super().train(mode)
        for module in self.extractor.feature_extractor.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The transformed map of the last layer."""
        return self.extractor(images)[self.extractor.layers[-1]]

    def registered(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Features of images by layer, transformed back to where the image has them: (N, C, h, w)."""
        return self.extractor.registered(images)

    def registration_loss(self, query: torch.Tensor, support: torch.Tensor) -> torch.Tensor:
        """How little the two maps agree, position by position.

        Args:
            query: `forward` of images (N, C, h, w).
            support: Mean of `forward` over other images of the same product (N, C, h, w).

        Returns:
            Scalar in [-1, 1], lower for maps that agree.
        """
        first, second = self.encoder(query), self.encoder(support)
        return (_distance(self.predictor(first), second) + _distance(self.predictor(second), first)) / 2


def _pointwise(channels: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]


def _distance(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Minus the mean cosine of two maps (N, C, h, w); the target gets no gradient."""
    return -F.cosine_similarity(predicted, target.detach(), dim=1).mean()
