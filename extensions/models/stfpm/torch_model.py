"""STFPM's two networks: a frozen teacher and a student."""

from collections.abc import Sequence

import torch
from anomalib.data import InferenceBatch
from anomalib.models.components import TimmFeatureExtractor
from anomalib.models.image.stfpm.anomaly_map import AnomalyMapGenerator
from anomalib.models.image.stfpm.torch_model import STFPMModel as AnomalibSTFPMModel
from torch import nn

from extensions.backbones.frozen import FrozenFeatureExtractor
from extensions.models.stfpm.student import AdaptedStudent

Features = dict[str, torch.Tensor]


class STFPMModel(AnomalibSTFPMModel):
    """Anomalib's STFPM network whose teacher starts random, to be given its weights, instead of downloading them.

    Shapes: images (N, 3, H, W) -> in training the features of teacher and student, a dict of (N, C, h, w) by layer
    each; else pred_score (N,), anomaly_map (N, 1, H, W), both higher for more anomalous.

    Args:
        layers: Feature maps to match.
        backbone: timm name of the teacher.
        student_backbone: That of the student; None takes the teacher's.

    Raises:
        ValueError: The student has no layer at the stride of one of the teacher's.
    """

    def __init__(self, layers: Sequence[str], backbone: str = "resnet18", student_backbone: str | None = None) -> None:
        nn.Module.__init__(self)  # anomalib's own would download the teacher
        self.tiler = None
        self.backbone = backbone
        self.teacher_model = FrozenFeatureExtractor(backbone=backbone, layers=layers, pre_trained=False)
        if student_backbone is None:
            self.student_model = TimmFeatureExtractor(
                backbone=backbone, layers=layers, pre_trained=False, requires_grad=True
            )
        else:
            self.student_model = AdaptedStudent(student_backbone, teacher=backbone, layers=layers)
        self.teacher_model.eval().requires_grad_(False)
        self.to(memory_format=torch.channels_last)  # a third less time a step on a CPU with depthwise convolutions
        self.anomaly_map_generator = AnomalyMapGenerator()

    def train(self, mode: bool = True) -> "STFPMModel":
        """Set the mode of the student; the teacher's running statistics never change."""
        super().train(mode)
        self.teacher_model.eval()
        return self

    def forward(self, images: torch.Tensor) -> tuple[Features, Features] | InferenceBatch:
        """Compare teacher and student."""
        output = super().forward(images)
        if isinstance(output, InferenceBatch):
            return output._replace(pred_score=output.pred_score.flatten())  # (N,)
        return output
