"""Reverse distillation's network: a frozen encoder, and a student that restores its features from a bottleneck."""

from collections.abc import Sequence

import torch
from anomalib.data import InferenceBatch
from anomalib.models.image.reverse_distillation.torch_model import (
    ReverseDistillationModel as AnomalibReverseDistillationModel,
)
from torch import nn

from extensions.backbones import layer_table
from extensions.backbones.frozen import FrozenFeatureExtractor
from extensions.models.common.inside import find_inside
from extensions.models.reverse_distillation.anomaly_map import AnomalyMapGenerator, Mode
from extensions.models.reverse_distillation.student import decode, make_student


class ReverseDistillationModel(AnomalibReverseDistillationModel):
    """Anomalib's network for any convolutional backbone and any size of images.

    Shapes: images (N, 3, H, W) -> in training the features of encoder and decoder, for each layer (N, C, h, w); else
    pred_score (N,), anomaly_map (N, 1, H, W), both higher for more anomalous.

    Args:
        backbone: timm name of the encoder.
        layers: Feature maps to restore, highest resolution first.
        anomaly_map_mode: Whether the maps of the layers are added or multiplied.

    Raises:
        ValueError: Another mode, or the stride does not double from layer to layer.
    """

    def __init__(self, backbone: str, layers: Sequence[str], *, anomaly_map_mode: Mode = "add") -> None:
        nn.Module.__init__(self)  # anomalib's own knows nine ResNets
        self.tiler = None
        table = {layer.name: layer for layer in layer_table(backbone)}
        self.encoder = FrozenFeatureExtractor(backbone=backbone, layers=layers, pre_trained=False)
        self.encoder.eval().requires_grad_(False)
        self.bottleneck, self.decoder = make_student(backbone, [table[layer] for layer in layers])
        self.anomaly_map_generator = AnomalyMapGenerator(mode=anomaly_map_mode)

    def train(self, mode: bool = True) -> "ReverseDistillationModel":
        """Set the mode of bottleneck and decoder; the encoder's running statistics never change."""
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, images: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]] | InferenceBatch:
        """Compare features with restored ones."""
        image_size = images.shape[-2:]
        if self.tiler:
            images = self.tiler.tile(images)
        encoded = list(self.encoder(images).values())
        decoded = decode(self.decoder, self.bottleneck(encoded), like=encoded)
        if self.tiler:
            encoded, decoded = ([self.tiler.untile(feature) for feature in side] for side in (encoded, decoded))
        inside = find_inside(self, images)
        if self.training:
            if inside is not None:
                encoded, decoded = ([inside.gathered(maps) for maps in side] for side in (encoded, decoded))
            return encoded, decoded
        anomaly_map = self.anomaly_map_generator(encoded, decoded, image_size, inside=inside)
        return InferenceBatch(pred_score=anomaly_map.amax(dim=(1, 2, 3)), anomaly_map=anomaly_map)
