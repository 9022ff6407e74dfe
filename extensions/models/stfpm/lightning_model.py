"""STFPM as a Lightning module."""

from collections.abc import Sequence
from pathlib import Path

import torch
from anomalib.metrics import Evaluator
from anomalib.models import Stfpm as AnomalibStfpm
from anomalib.models.image.stfpm.loss import STFPMLoss
from anomalib.visualization import Visualizer
from torch import nn

from extensions.backbones import architecture
from extensions.models.backbone_mixin import BackboneMixin
from extensions.models.pre_processor import ImageSize
from extensions.models.stfpm.torch_model import STFPMModel


class Stfpm(BackboneMixin, AnomalibStfpm):
    """STFPM: where a student, trained on normal pictures only, fails to imitate its teacher's features.

    Wang et al., "Student-Teacher Feature Pyramid Matching for Anomaly Detection", 2021,
    https://arxiv.org/abs/2103.04257. Scores are products of feature distances, higher is more anomalous. Differs from
    the paper as anomalib does: the loss is summed over the batch, not averaged, so that its step grows with the batch
    size, and weight decay is 1e-3 (paper: 1e-4). Differs from anomalib: the teacher's weights are found offline,
    `pred_score` is (N,), and the optimizer's numbers are arguments.

    Args:
        backbone: timm name of teacher and student; `python -m extensions.backbones list` shows what is available.
        layers: Feature maps to match, highest resolution first; None takes the last ones at strides 4, 8 and 16.
        weights: Weights file of the teacher; None looks in the weights folder, packages and timm's hub.
        pre_trained: False leaves the teacher random.
        image_size: Height and width in px that pictures are resized to, by the default pre-processor.
        center_crop: Height and width in px of the center to keep after resizing, by the default pre-processor.
        lr: Learning rate of SGD.
        momentum: Momentum of SGD.
        weight_decay: Weight decay of SGD.
        pre_processor: True builds the default, False leaves pictures as they are.
        post_processor: As in anomalib.
        evaluator: As in anomalib.
        visualizer: As in anomalib.

    Raises:
        ValueError: Unknown backbone or layer.

    Example:
        >>> model = Stfpm("resnet18")
        >>> Engine(max_epochs=100).fit(model, datamodule=Elpv())
    """

    reductions = (4, 8, 16)
    extractor_name = "teacher_model"
    uses_pixels = True  # the student does
    model: STFPMModel

    def __init__(
        self,
        backbone: str = "resnet18",
        layers: Sequence[str] | None = None,
        *,
        weights: str | Path | None = None,
        pre_trained: bool = True,
        image_size: ImageSize = 256,
        center_crop: ImageSize | None = None,
        lr: float = 0.4,
        momentum: float = 0.9,
        weight_decay: float = 0.001,
        pre_processor: nn.Module | bool = True,
        post_processor: nn.Module | bool = True,
        evaluator: Evaluator | bool = True,
        visualizer: Visualizer | bool = True,
    ) -> None:
        layers = self._resolve_layers(backbone, layers)
        # Anomalib's own __init__ is left out: it would download the teacher.
        super(AnomalibStfpm, self).__init__(
            pre_processor=self._resolve_pre_processor(
                pre_processor, backbone, image_size=image_size, center_crop=center_crop
            ),
            post_processor=post_processor,
            evaluator=evaluator,
            visualizer=visualizer,
        )
        self.model = STFPMModel(layers=layers, backbone=architecture(backbone))
        self.loss = STFPMLoss()
        self.optimizer_settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        self._set_backbone(backbone, layers, weights=weights, pre_trained=pre_trained)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Optimize the student by SGD."""
        return torch.optim.SGD(
            self.model.student_model.parameters(),
            **self.optimizer_settings,
        )
