"""Anomalib's feature extractor, which gives maps (N, C, h, w) of every backbone, transformers included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from anomalib.models.components import TimmFeatureExtractor
from anomalib.models.components.feature_extractors.timm import _disable_pos_embed_antialiasing

from extensions.backbones.stages import stop_at_last
from extensions.backbones.transformers import build_transformer, check_fits, is_transformer


class MapExtractor(TimmFeatureExtractor):
    """Anomalib's extractor, in which transformers are used by their tokens, as feature maps.

    A plain transformer's maps have a position for each patch; tokens of classes and registers are left out. Each layer
    is normalized by the network's last norm, as anomalib does it; of a Swin only the last is, by timm. Images of any
    size that the patches fit are taken: position embeddings are resampled by timm, without antialiasing, as anomalib
    does it in the whole process and as DINOv2's authors did for the networks without registers. Windows of a Swin stay
    those of its weights.
    Differs from anomalib: all of timm's files in `transformers.PLAIN` and `WINDOWED` are known, not names with "vit" in
    them; a Swin takes images of other sizes, and its maps are not (N, h, w, C); what lies behind the last layer in use
    does not run, in EfficientNet and MobileNetV3 either.

    Shapes: images (N, 3, H, W) -> for each layer (N, C, h, w).

    Args:
        backbone: timm name.
        layers: Feature maps to give.
        pre_trained: Whether timm is to fetch weights; those of `load_backbone_weights` come later.
        requires_grad: Whether the network is trained.
    """

    def __init__(
        self, backbone: str, layers: Sequence[str], *, pre_trained: bool = False, requires_grad: bool = False
    ) -> None:
        if is_transformer(backbone) and "vit" not in backbone.lower():
            # Anomalib would build timm's own wrapper, for images of one size.
            torch.nn.Module.__init__(self)
            self.backbone, self.layers, self.requires_grad = backbone, list(layers), requires_grad
            self.output_fmt, self.return_class_token, self.norm = "NCHW", False, True
            self.use_tokens()
            return
        super().__init__(backbone=backbone, layers=list(layers), pre_trained=pre_trained, requires_grad=requires_grad)
        if self._uses_intermediates:
            self.use_tokens()
        else:
            stop_at_last(self.feature_extractor)

    def use_tokens(self) -> None:
        """Complete the extractor of a transformer; one that anomalib has built in another way gets a new network."""
        if not getattr(self, "_uses_intermediates", False):
            self._uses_intermediates = True
            self.feature_extractor = build_transformer(str(self.backbone))
        _disable_pos_embed_antialiasing()  # of the process; anomalib does it only for names with "vit" in them
        table = self.feature_extractor.feature_info
        names = [entry["module"] for entry in table]
        self.idx = [names.index(str(layer)) for layer in self.layers]
        self.out_dims = [table[place]["num_chs"] for place in self.idx]
        self.reductions = [table[place]["reduction"] for place in self.idx]

    def _run_intermediates(self, inputs: torch.Tensor) -> list[Any]:
        """The maps of the layers."""
        if not torch.compiler.is_compiling() and not torch.jit.is_tracing():
            check_fits(str(self.backbone), (inputs.shape[-2], inputs.shape[-1]))
        return self.feature_extractor.forward_intermediates(
            inputs, indices=self.idx, norm=self.norm, stop_early=True, output_fmt="NCHW", intermediates_only=True
        )
