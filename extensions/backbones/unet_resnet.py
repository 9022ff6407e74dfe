"""ResNet-18 with a decoder whose levels are feature layers."""

from collections.abc import Sequence
from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models._features import feature_take_indices  # which each timm network with such maps uses
from timm.models.resnet import BasicBlock, ResNet
from torch import nn
from torch.nn import functional as F

# timm registers a model's configuration only from this name in the model's module
default_cfgs = generate_default_cfgs(
    {
        "unet_resnet18": {
            "num_classes": 1000,
            "input_size": (3, 224, 224),
            "pool_size": (7, 7),
            "first_conv": "conv1",
            "classifier": "fc",
        }
    }
)

ENCODER = ("act1", "layer1", "layer2", "layer3", "layer4")
SKIPS = {"up1": "layer3", "up2": "layer2", "up3": "layer1"}  # each level of the decoder and the map it is joined with


class UpBlock(nn.Module):
    """One level of the decoder: (N, C, h, w) and a skip (N, S, H, W) -> (N, S, H, W).

    Args:
        channels: C.
        skip_channels: S, also of the output.
        device: Of the tensors.
        dtype: Of the tensors.
    """

    def __init__(self, channels: int, skip_channels: int, *, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        placed = {"device": device, "dtype": dtype}
        self.conv1 = nn.Conv2d(channels + skip_channels, skip_channels, 3, padding=1, bias=False, **placed)
        self.bn1 = nn.BatchNorm2d(skip_channels, **placed)
        self.conv2 = nn.Conv2d(skip_channels, skip_channels, 3, padding=1, bias=False, **placed)
        self.bn2 = nn.BatchNorm2d(skip_channels, **placed)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Enlarge, join, convolve twice."""
        # Position i takes i // 2, which is where the encoder's stride came from, for odd sizes too.
        x = F.interpolate(x, size=skip.shape[-2:], mode="nearest")
        x = torch.cat([x, skip], dim=1)  # (N, C + S, H, W)
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)))


class UNetResNet(ResNet):
    """ResNet whose stages are decoded back to stride 4; every stage and every level of the decoder is a feature layer.

    Source: Ronneberger, Fischer and Brox, U-Net: Convolutional Networks for Biomedical Image Segmentation, 2015,
    https://arxiv.org/abs/1505.04597. Differs from the paper: the contracting path is timm's ResNet, the decoder ends at
    stride 4, maps are enlarged by repetition instead of a learned 2x2 convolution (no checkerboard), convolutions are
    padded, so that nothing is cropped, and each is followed by batch norm.

    Layers, by stride, at each the decoder's after the encoder's: `act1` (2), `layer1`, `up3` (4), `layer2`, `up2` (8),
    `layer3`, `up1` (16), `layer4` (32). So the layers that a detector takes by default are the decoder's, which have
    seen the deeper stages too; `layers: [layer1, layer2, layer3]` takes the encoder's.

    The pooled output is the mean of `layer4` beside the mean of `up3` (512 + 64 numbers for ResNet-18), so that a loss
    on it reaches all parameters, those of the decoder included.

    Args:
        args: As timm's ResNet takes them.
        num_classes: Outputs of the classifier; 0 gives the pooled output itself.
        device: Of the tensors.
        dtype: Of the tensors.
        kwargs: As timm's ResNet takes them.

    Example:
        >>> model = Padim("unet_resnet18", layers=["up3", "up2"], weights="unet.safetensors")
    """

    feature_info: list[dict[str, Any]]

    def __init__(
        self, *args: Any, num_classes: int = 1000, device: Any = None, dtype: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, num_classes=num_classes, device=device, dtype=dtype, **kwargs)
        of = {info["module"]: info for info in self.feature_info}
        below = "layer4"
        for name, skip in SKIPS.items():
            block = UpBlock(of[below]["num_chs"], of[skip]["num_chs"], device=device, dtype=dtype)
            for conv in (block.conv1, block.conv2):
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")  # as timm's own
            self.add_module(name, block)
            of[name] = {**of[skip], "module": name}
            below = name
        # timm refuses a table whose strides decrease
        self.feature_info = sorted(of.values(), key=lambda info: info["reduction"])
        self.num_features = of["layer4"]["num_chs"] + of[below]["num_chs"]
        self.reset_classifier(num_classes)

    def forward_intermediates(
        self,
        x: torch.Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[torch.Tensor] | tuple[torch.Tensor, list[torch.Tensor]]:
        """Maps of the layers.

        Args:
            x: (N, 3, H, W).
            indices: Positions in `feature_info`; None: all, a number: the last so many.
            norm: Has no effect; taken for timm.
            stop_early: Leave out what these layers do not need; always so with `intermediates_only`.
            output_fmt: Only NCHW.
            intermediates_only: Return only the maps.

        Returns:
            The maps, each (N, C, h, w), in the order of `indices`; before them what `forward_features` gives.
        """
        if output_fmt != "NCHW":
            msg = f"output_fmt is {output_fmt!r}; expected NCHW"
            raise ValueError(msg)
        names = [
            self.feature_info[index]["module"] for index in feature_take_indices(len(self.feature_info), indices)[0]
        ]
        maps = self._maps(x, names if intermediates_only else [*names, *SKIPS])
        chosen = [maps[name] for name in names]
        return chosen if intermediates_only else (self._joined(maps), chosen)

    def prune_intermediate_layers(
        self, indices: int | Sequence[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop the head; stages and decoder stay, so that every choice of layers has the same tensors.

        Args:
            indices: As in `forward_intermediates`.
            prune_norm: Has no effect; taken for timm.
            prune_head: Whether to drop the classifier.

        Returns:
            The indices.
        """
        if prune_head:
            self.reset_classifier(0, "")
        return feature_take_indices(len(self.feature_info), indices)[0]

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) -> (N, num_features, H/32, W/32): `layer4`, and `up3` averaged to its size."""
        return self._joined(self._maps(x, list(SKIPS)))

    def _maps(self, x: torch.Tensor, names: Sequence[str]) -> dict[str, torch.Tensor]:
        """The maps of these layers and of those they are computed from."""
        levels = list(SKIPS)
        n_levels = max((levels.index(name) + 1 for name in names if name in SKIPS), default=0)
        deepest = len(ENCODER) - 1 if n_levels else max(map(ENCODER.index, names))
        stages = list(range(deepest + 1))
        encoded = super().forward_intermediates(x, indices=stages, stop_early=True, intermediates_only=True)
        maps = dict(zip(ENCODER, encoded, strict=False))
        x = encoded[-1]
        for name in levels[:n_levels]:
            x = maps[name] = getattr(self, name)(x, maps[SKIPS[name]])
        return maps

    @staticmethod
    def _joined(maps: dict[str, torch.Tensor]) -> torch.Tensor:
        deep, fine = maps["layer4"], maps[list(SKIPS)[-1]]
        return torch.cat([deep, F.adaptive_avg_pool2d(fine, deep.shape[-2:])], dim=1)


@register_model
def unet_resnet18(pretrained: bool = False, **kwargs: Any) -> UNetResNet:
    """ResNet-18 with a U-Net decoder, see `UNetResNet`. There are no weights for it: train it first.

    A file of `resnet18` does not fit: the decoder would stay random without a word.
    """
    arguments = {"block": BasicBlock, "layers": (2, 2, 2, 2), "feature_cfg": {"feature_cls": "getter"}, **kwargs}
    return build_model_with_cfg(UNetResNet, "unet_resnet18", pretrained, **arguments)
