"""FastFlow's network: a normalizing flow over each of a frozen backbone's feature maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from anomalib.data import InferenceBatch
from anomalib.models.image.fastflow.anomaly_map import AnomalyMapGenerator
from anomalib.models.image.fastflow.torch_model import FastflowModel as AnomalibFastflowModel
from anomalib.models.image.fastflow.torch_model import create_fast_flow_block
from torch import nn

from extensions.backbones.frozen import FrozenFeatureExtractor
from extensions.backbones.input_channels import in_channels
from extensions.backbones.map_extractor import MapExtractor
from extensions.models.common.channel_order import look_channels_up


class FastflowModel(AnomalibFastflowModel):
    """Anomalib's FastFlow network over the feature maps of any backbone.

    Shapes: images (N, 3, H, W) -> in training latent maps, for each layer (N, C, h, w), and log-determinants, for each
    layer (N,); else pred_score (N,), anomaly_map (N, 1, H, W), both higher for more anomalous.

    Args:
        backbone: timm name.
        layers: Feature maps to use, highest resolution first.
        input_size: Height and width of the images in px; the normalization before each flow is tied to it.
        flow_steps: Coupling blocks of each flow.
        conv3x3_only: Whether all blocks see their surroundings, instead of every other one.
        hidden_ratio: Channels inside a block, as a part of those that it gets.
    """

    def __init__(
        self,
        backbone: str,
        layers: Sequence[str],
        *,
        input_size: tuple[int, int],
        flow_steps: int = 8,
        conv3x3_only: bool = False,
        hidden_ratio: float = 1.0,
    ) -> None:
        nn.Module.__init__(self)  # anomalib's own knows four backbones
        self.feature_extractor = FrozenFeatureExtractor(backbone=backbone, layers=layers, pre_trained=False)
        self.feature_extractor.eval().requires_grad_(False)
        self.set_input_size(input_size)
        self.fast_flow_blocks = nn.ModuleList(
            look_channels_up(
                create_fast_flow_block(
                    input_dimensions=list(norm.normalized_shape),
                    conv3x3_only=conv3x3_only,
                    hidden_ratio=hidden_ratio,
                    flow_steps=flow_steps,
                )
            )
            for norm in self.norms
        )

    def set_input_size(self, input_size: tuple[int, int]) -> None:
        """Start with new normalizations for images of another height and width in px; flows fit all sizes."""
        self.input_size = (int(input_size[0]), int(input_size[1]))
        shape = (1, in_channels(self.feature_extractor), *self.input_size)
        empty = torch.zeros(shape, device=next(self.feature_extractor.parameters()).device)
        # Not the extractor's own forward, which would look for a faster engine for weights that are not there yet.
        maps = MapExtractor.forward(self.feature_extractor, empty)
        self.norms = nn.ModuleList(nn.LayerNorm(list(feature.shape[1:])) for feature in maps.values()).to(empty.device)
        self.anomaly_map_generator = AnomalyMapGenerator(input_size=self.input_size)

    def train(self, mode: bool = True) -> FastflowModel:
        """Set the mode of the flows; the backbone's running statistics never change."""
        super().train(mode)
        self.feature_extractor.eval()
        return self

    def forward(self, input_tensor: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]] | InferenceBatch:
        """Transform features; score images unless in training.

        Raises:
            ValueError: Images of another size than `input_size`.
        """
        size = tuple(input_tensor.shape[-2:])
        if size != self.input_size:
            msg = (
                f"images are {size[0]} x {size[1]} px, but this Fastflow was built for {self.input_size[0]} x "
                f"{self.input_size[1]}: resize them, or train one with another image_size."
            )
            raise ValueError(msg)
        latent, log_jacobians = self.flow(input_tensor)
        return (latent, log_jacobians) if self.training else self.score(latent)

    def flow(self, images: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Transform features (N, 3, H, W): latent maps and log-determinants of each layer."""
        features = self.feature_extractor(images).values()
        layers = zip(self.fast_flow_blocks, self.norms, features, strict=True)
        pairs = [flow(norm(feature)) for flow, norm, feature in layers]
        return [latent for latent, _ in pairs], [log_jacobian for _, log_jacobian in pairs]

    def score(self, latent: list[torch.Tensor]) -> InferenceBatch:
        """Score images by their latent maps (N, C, h, w)."""
        anomaly_map = self.anomaly_map_generator(latent)  # (N, 1, H, W)
        return InferenceBatch(pred_score=anomaly_map.amax(dim=(1, 2, 3)), anomaly_map=anomaly_map)
