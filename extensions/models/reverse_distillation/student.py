"""Reverse distillation's student for any backbone: a bottleneck and a decoder made from its layer table."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from anomalib.models.components.backbone import get_decoder
from anomalib.models.components.backbone.resnet_decoder import DecoderBasicBlock, DecoderBottleneck, ResNetDecoder
from anomalib.models.image.reverse_distillation.components import get_bottleneck_layer
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck, conv1x1, conv3x3

from extensions.backbones import Layer

STOCK_LAYERS = ("layer1", "layer2", "layer3")
# Backbones for which anomalib has a student, and which of its students that is.
STOCK = {name: name for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")} | {
    name: name for name in ("resnext50_32x4d", "resnext101_32x8d", "wide_resnet50_2", "wide_resnet101_2")
}
STOCK["resnet50_caffe"] = "resnet50"  # differs in where it strides, not in its maps

# From here on blocks with a bottleneck, as in ResNet-50, since two 3x3 convolutions would have 100 million numbers.
WIDE = 1024


def make_student(backbone: str, layers: Sequence[Layer]) -> tuple[nn.Module, nn.Module]:
    """Build bottleneck and decoder.

    Those of anomalib for its ResNets at layer1 to layer3. For all others they are built like its ResNet-18's, or
    ResNet-50's where the deepest layer has 1024 channels or more: as many levels as there are layers, as wide as these
    but not narrower than ResNet-18 at the same stride. Each level ends in a 1x1 convolution without activation, since
    features of other networks may be negative.

    Args:
        backbone: timm name; a tag makes no difference.
        layers: Highest resolution first.

    Returns:
        bottleneck: features, for each layer (N, C, h, w) -> embedding (N, C', h', w') at twice the last stride.
        decoder: `decode` turns its embedding into features like those that went in.

    Raises:
        ValueError: The stride does not double from layer to layer.
    """
    stock = STOCK.get(backbone.split(".")[0])
    if stock is not None and tuple(layer.name for layer in layers) == STOCK_LAYERS:
        bottleneck = get_bottleneck_layer(stock)
        for unused in (bottleneck.conv4, bottleneck.bn4):
            unused.requires_grad_(False)  # takes no part in anything, which distributed training would stop at
        return bottleneck, get_decoder(stock)
    if any(after.reduction != 2 * before.reduction for before, after in pairwise(layers)):
        found = ", ".join(f"{layer.name} (stride {layer.reduction})" for layer in layers)
        msg = (
            f"ReverseDistillation needs layers whose stride doubles from each to the next, found {found} of backbone "
            f"{backbone!r}: choose others as `layers`; of a transformer whose maps have one size, one of them."
        )
        raise ValueError(msg)
    return OneClassBottleneck(layers), Decoder(layers)


class OneClassBottleneck(nn.Module):
    """Fuses the features of all layers into one small map, too small to tell an anomaly.

    Shapes: features, for each layer (N, C, h, w) -> (N, C', h', w') at twice the last stride.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        widths = _widths(layers)
        self.reducers = nn.ModuleList(
            nn.Sequential(*(_halve(*pair) for pair in pairwise((layer.channels, *widths[index + 1 :]))))
            for index, layer in enumerate(layers[:-1])
        )
        n_fused = widths[-1] * (len(layers) - 1) + layers[-1].channels
        n_out = 2 * widths[-1]
        block, n_blocks = (Bottleneck, 3) if layers[-1].channels >= WIDE else (BasicBlock, 2)
        planes = n_out // block.expansion
        shortcut = nn.Sequential(conv1x1(n_fused, n_out, stride=2), nn.BatchNorm2d(n_out))
        rest = (block(n_out, planes) for _ in range(n_blocks - 1))
        self.fuse = nn.Sequential(block(n_fused, planes, 2, shortcut), *rest)
        _initialize(self)

    def forward(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Fuse features."""
        *shallow, deepest = features
        reduced = [
            fit_to(reduce(feature), deepest.shape[-2:]) for reduce, feature in zip(self.reducers, shallow, strict=True)
        ]
        return self.fuse(torch.cat([*reduced, deepest], dim=1))


class Decoder(nn.Module):
    """Restores the features of all layers from the embedding, deepest first.

    Attributes:
        stages: Each doubles the size, deepest first.
        heads: Each gives one layer's features from what its stage gives.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        block, n_blocks = (DecoderBottleneck, 3) if layers[-1].channels >= WIDE else (DecoderBasicBlock, 2)
        widths = _widths(layers)
        stages, heads = [], []
        n_in = 2 * widths[-1]
        for layer, width in zip(reversed(layers), reversed(widths), strict=True):
            planes = width // block.expansion
            enlarge = nn.ConvTranspose2d(n_in, width, kernel_size=2, stride=2, bias=False)
            shortcut = nn.Sequential(enlarge, nn.BatchNorm2d(width))
            rest = (block(width, planes) for _ in range(n_blocks - 1))
            stages.append(nn.Sequential(block(n_in, planes, 2, shortcut), *rest))
            heads.append(nn.Conv2d(width, layer.channels, kernel_size=1))
            n_in = width
        self.stages, self.heads = nn.ModuleList(stages), nn.ModuleList(heads)
        _initialize(self)


def decode(decoder: nn.Module, embedding: torch.Tensor, like: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Restore features from an embedding.

    Anomalib's decoder gives maps of other sizes than the encoder's, and with them an error, unless images are
    multiples of 32 px; here each level is cut to size.

    Args:
        decoder: As `make_student` gives it.
        embedding: (N, C, h, w).
        like: The encoder's features, for each layer (N, C, h, w); only their sizes matter.

    Returns:
        For each layer (N, C, h, w).
    """
    if isinstance(decoder, ResNetDecoder):
        stages, heads = [decoder.layer1, decoder.layer2, decoder.layer3], [nn.Identity()] * 3
    else:
        stages, heads = list(decoder.stages), list(decoder.heads)
    decoded = []
    for stage, head, wanted in zip(stages, heads, reversed(like), strict=True):
        embedding = fit_to(stage(embedding), wanted.shape[-2:])
        decoded.append(head(embedding))
    return decoded[::-1]


def fit_to(maps: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Cut maps (N, C, h, w) at their lower and right edges, or repeat the edges, to the size (height, width)."""
    height, width = size
    rows, columns = height - maps.shape[-2], width - maps.shape[-1]
    if rows > 0 or columns > 0:
        maps = F.pad(maps, (0, max(columns, 0), 0, max(rows, 0)), mode="replicate")
    return maps[..., :height, :width]


def _widths(layers: Sequence[Layer]) -> list[int]:
    """Channels of the student at each layer, multiples of 8."""
    return [max(-(-layer.channels // 8) * 8, 16 * layer.reduction) for layer in layers]


def _halve(n_in: int, n_out: int) -> nn.Module:
    return nn.Sequential(conv3x3(n_in, n_out, stride=2), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True))


def _initialize(network: nn.Module) -> None:
    """As anomalib's student; norms start as they are."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
