"""Reverse distillation as a Lightning module."""

from collections.abc import Sequence
from pathlib import Path

import torch
from anomalib.metrics import Evaluator
from anomalib.models import ReverseDistillation as AnomalibReverseDistillation
from anomalib.visualization import Visualizer
from torch import nn

from extensions.backbones import architecture
from extensions.models.common.backbone_mixin import BackboneMixin
from extensions.models.common.pre_processor import ImageSize
from extensions.models.common.score_pooling_mixin import ScorePoolingMixin
from extensions.models.reverse_distillation.anomaly_map import Mode
from extensions.models.reverse_distillation.loss import distillation_loss
from extensions.models.reverse_distillation.torch_model import ReverseDistillationModel


class ReverseDistillation(ScorePoolingMixin, BackboneMixin, AnomalibReverseDistillation):
    """Reverse distillation: where a decoder, trained on normal images only, fails to restore the encoder's features.

    Deng and Li, "Anomaly Detection via Reverse Distillation from One-Class Embedding", 2022,
    https://arxiv.org/abs/2201.10703. Scores are cosine distances summed over layers, higher is more anomalous. Differs
    from the paper as anomalib does: the loss compares whole maps instead of positions (so does the authors' code,
    https://github.com/hq-deng/RD4AD), Adam's second beta is 0.99 (paper: 0.999), and the bottleneck has two blocks
    instead of three for ResNet-34 and half as wide ones for Wide-ResNet-50-2. Differs from anomalib: any convolutional
    backbone whose layers' strides double can be the encoder, images need not be multiples of 32 px, and `pred_score`
    is (N,). Anomalib's networks are kept for its ResNets; what others get, `make_student` says.

    Args:
        backbone: timm name of the encoder; `python -m extensions.backbones list` shows what is available.
        layers: Feature maps to restore, highest resolution first; None takes the last ones at strides 4, 8 and 16.
        weights: Weights file of the encoder; None looks in the weights folder, packages and timm's hub.
        pre_trained: False leaves the encoder random.
        image_size: Height and width in px that images are resized to, by the default pre-processor.
        center_crop: Height and width in px of the center to keep after resizing, by the default pre-processor.
        anomaly_map_mode: Whether the maps of the layers are added or multiplied.
        lr: Learning rate of Adam.
        score_pooling: What an image scores: `max` of its map, or the mean of the map's highest pixels, `top_100` or
            `top_1%`, with any other number, see `extensions.data.score_pooling`. None for `max`. A trained
            model takes another.
        pre_processor: True builds the default, False leaves images as they are.
        post_processor: As in anomalib.
        evaluator: As in anomalib.
        visualizer: As in anomalib.

    Raises:
        ValueError: Unknown backbone, layer or mode, or layers whose stride does not double from each to the next.

    Example:
        >>> model = ReverseDistillation("tf_efficientnet_lite0")
        >>> Engine(max_epochs=100).fit(model, datamodule=Elpv())
    """

    reductions = (4, 8, 16)
    extractor_name = "encoder"
    only_for_fit = frozenset({"lr"})
    model: ReverseDistillationModel

    def __init__(
        self,
        backbone: str = "resnet18",
        layers: Sequence[str] | None = None,
        *,
        weights: str | Path | None = None,
        pre_trained: bool = True,
        image_size: ImageSize = 256,
        center_crop: ImageSize | None = None,
        anomaly_map_mode: Mode = "add",
        lr: float = 0.005,
        score_pooling: str | None = None,
        pre_processor: nn.Module | bool = True,
        post_processor: nn.Module | bool = True,
        evaluator: Evaluator | bool = True,
        visualizer: Visualizer | bool = True,
    ) -> None:
        layers = self._resolve_layers(backbone, layers)
        processor = self._resolve_pre_processor(pre_processor, backbone, image_size=image_size, center_crop=center_crop)
        # Anomalib's own __init__ is left out: it would build its network, and with it download the encoder.
        super(AnomalibReverseDistillation, self).__init__(
            pre_processor=processor, post_processor=post_processor, evaluator=evaluator, visualizer=visualizer
        )
        self.model = ReverseDistillationModel(architecture(backbone), layers, anomaly_map_mode=anomaly_map_mode)
        self.loss = distillation_loss
        self.learning_rate = lr
        self._set_backbone(backbone, layers, weights=weights, pre_trained=pre_trained)
        self._set_score_pooling(score_pooling)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Optimize decoder and bottleneck by Adam."""
        parameters = [*self.model.decoder.parameters(), *self.model.bottleneck.parameters()]
        return torch.optim.Adam(parameters, lr=self.learning_rate, betas=(0.5, 0.99))
