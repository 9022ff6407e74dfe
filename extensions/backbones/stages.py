"""Networks of timm's that give the maps of their stages, without the stages behind the last one in use."""

from __future__ import annotations

from itertools import islice

import torch
from timm.models.efficientnet import EfficientNetFeatures
from timm.models.mobilenetv3 import MobileNetV3Features
from torch import nn


def stop_at_last(network: nn.Module) -> nn.Module:
    """The same network, in which stages behind the last map that it gives do not run; its tensors stay as they are.

    timm builds most networks without those stages, but EfficientNet and MobileNetV3 with them. Maps are equal to the
    last bit.
    """
    for stock, ours in ((EfficientNetFeatures, _EfficientNetStages), (MobileNetV3Features, _MobileNetStages)):
        if type(network) is stock:
            network.__class__ = ours
    return network


class _EfficientNetStages(EfficientNetFeatures):
    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Maps (N, C, h, w) of the stages in use, of images (N, 3, H, W)."""
        if self.feature_hooks is not None or self.grad_checkpointing:
            return list(super().forward(x))
        return _maps(self, self.bn1(self.conv_stem(x)))


class _MobileNetStages(MobileNetV3Features):
    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Maps (N, C, h, w) of the stages in use, of images (N, 3, H, W)."""
        if self.feature_hooks is not None or self.grad_checkpointing:
            return list(super().forward(x))
        return _maps(self, self.act1(self.bn1(self.conv_stem(x))))


def _maps(network: EfficientNetFeatures | MobileNetV3Features, x: torch.Tensor) -> list[torch.Tensor]:
    wanted = network._stage_out_idx  # stage to place; 0 is the stem
    maps = [x] if 0 in wanted else []
    for number, stage in enumerate(islice(network.blocks, max(wanted)), start=1):
        x = stage(x)
        if number in wanted:
            maps.append(x)
    return maps
