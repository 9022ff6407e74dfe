"""A backbone whose feature maps pass a spatial transformer each, which also feeds the next layer."""

from collections.abc import Sequence
from contextvars import ContextVar

import torch
from anomalib.models.components import TimmFeatureExtractor
from torch import nn

from extensions.backbones import layer_table
from extensions.backbones.feature_source import FeatureSource
from extensions.backbones.transformers import is_transformer
from extensions.models.reg_ad.spatial_transformer import SpatialTransformer, compose, invert, pooled_size, sample

Matrices = dict[str, torch.Tensor]

# Of the forward pass that runs in this thread, in the order in which the network computes its layers.
_found: ContextVar[Matrices] = ContextVar("_found")


class TransformedFeatureExtractor(TimmFeatureExtractor):
    """Anomalib's extractor with a spatial transformer behind each layer in use.

    A transformer is a hook of the module that computes the layer: what it returns takes the place of that module's
    output, so every later layer sees transformed maps, whatever the architecture.

    Shapes: images (N, 3, H, W) -> for each layer (N, C, h, w), transformed.

    Args:
        backbone: timm architecture.
        layers: Layers in use, in the network's order.
        transformer: Kind of transform, see `spatial_transformer.PARTS`.
        requires_grad: False for a network that only computes features.

    Attributes:
        source: As that of every model's extractor; features of transformed maps are never cached, so nobody is asked.

    Raises:
        ValueError: A layer is not the output of one module that gives maps (N, C, h, w).
    """

    source: FeatureSource | None = None

    def __init__(
        self,
        backbone: str,
        layers: Sequence[str],
        *,
        transformer: str = "rotation_scale",
        requires_grad: bool = True,
    ) -> None:
        if is_transformer(backbone):
            msg = (
                f"RegAD transforms feature maps between the stages of a network of convolutions, and backbone "
                f"{backbone!r} is a vision transformer: choose another backbone, or Patchcore or Padim with "
                "support_views: true, which take it."
            )
            raise ValueError(msg)
        super().__init__(backbone=backbone, layers=layers, pre_trained=False, requires_grad=requires_grad)
        strides = {layer.name: layer.reduction for layer in layer_table(backbone)}
        self.transformers = nn.ModuleList()
        for layer, channels in zip(layers, self.out_dims, strict=True):
            spatial = SpatialTransformer(channels, pooled=pooled_size(strides[layer]), transformer=transformer)
            self.transformers.append(spatial)
            module = _module_of(self.feature_extractor, layer, backbone=backbone)
            # First of the module's hooks: timm's own, where it has some, then note down the transformed map.
            module.register_forward_hook(_LayerHook(spatial, layer), prepend=True)

    def transformed(self, images: torch.Tensor) -> tuple[dict[str, torch.Tensor], Matrices]:
        """Transformed features of images by layer, and the matrices (N, 2, 3) in the order of the network."""
        token = _found.set({})
        try:
            return super().forward(images), _found.get()
        finally:
            _found.reset(token)

    def forward(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Transformed features of images."""
        return self.transformed(inputs)[0]

    def registered(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Features of images by layer, each transformed back to where the image has them: (N, C, h, w).

        A layer undoes its own transform and those of the layers before it. Differs from the official code: the
        inverses are multiplied and a map is sampled once, which blurs it once, and not once for each of them.
        """
        features, matrices = self.transformed(images)
        back: torch.Tensor | None = None
        registered = {}
        for layer, matrix in matrices.items():
            back = invert(matrix) if back is None else compose(invert(matrix), back)
            registered[layer] = sample(features[layer], back)
        return {str(layer): registered[str(layer)] for layer in self.layers}


class _LayerHook(nn.Module):
    """Replaces the output of a layer's module; a module itself, so that a copy of the network has its own."""

    def __init__(self, transformer: SpatialTransformer, layer: str) -> None:
        super().__init__()
        self.transformer = transformer
        self.layer = layer

    def forward(self, module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        """Transform the maps, and note down how."""
        if output.ndim != 4:
            msg = (
                f"layer {self.layer} gives {tuple(output.shape)}, expected maps (N, C, h, w) to transform: choose a "
                "backbone of convolutions."
            )
            raise ValueError(msg)
        transformed, matrices = self.transformer(output)
        _found.get()[self.layer] = matrices
        return transformed


def _module_of(network: nn.Module, layer: str, *, backbone: str) -> nn.Module:
    """The module that computes the layer; timm keeps it under its name, a flattened one, or in its own wrapper.

    Raises:
        ValueError: There is none.
    """
    modules = dict(network.named_modules())
    for prefix in ("", "model.", "body."):
        for name in (layer, layer.replace(".", "_")):
            if prefix + name in modules:
                return modules[prefix + name]
    msg = (
        f"backbone {backbone!r}: no module computes layer {layer!r} alone, so it cannot be transformed: choose another."
    )
    raise ValueError(msg)
