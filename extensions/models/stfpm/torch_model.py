"""STFPM's two networks: a frozen teacher and a student."""

from collections.abc import Sequence

import torch
from anomalib.data import InferenceBatch
from anomalib.models.image.stfpm.anomaly_map import AnomalyMapGenerator
from anomalib.models.image.stfpm.torch_model import STFPMModel as AnomalibSTFPMModel
from torch import nn
from torch.nn import functional as F

from extensions.backbones import Layer, layer_table
from extensions.backbones.frozen import FrozenFeatureExtractor
from extensions.backbones.map_extractor import MapExtractor
from extensions.backbones.transformers import is_plain
from extensions.models.common.inside import Inside, find_inside

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
            self.student_model = MapExtractor(backbone=backbone, layers=layers, pre_trained=False, requires_grad=True)
        else:
            self.student_model = AdaptedStudent(student_backbone, teacher=backbone, layers=layers)
        self.teacher_model.eval().requires_grad_(False)
        # A third less time a step on a CPU; others gain nothing, and keep anomalib's numbers to the last bit in torch.
        if any(isinstance(one, nn.Conv2d) and one.groups > 1 for one in self.student_model.modules()):
            self.to(memory_format=torch.channels_last)
        self.anomaly_map_generator = AnomalyMapGenerator()

    def train(self, mode: bool = True) -> "STFPMModel":
        """Set the mode of the student; the teacher's running statistics never change."""
        super().train(mode)
        self.teacher_model.eval()
        return self

    def forward(self, images: torch.Tensor) -> tuple[Features, Features] | InferenceBatch:
        """Compare teacher and student."""
        inside = find_inside(self, images)
        if inside is not None:
            teacher, student = self.teacher_model(images), self.student_model(images)
            if self.training:
                return tuple(
                    {name: inside.gathered(maps) for name, maps in side.items()} for side in (teacher, student)
                )
            anomaly_map = self.map_inside(teacher, student, inside)
            return InferenceBatch(pred_score=anomaly_map.amax(dim=(1, 2, 3)), anomaly_map=anomaly_map)
        output = super().forward(images)
        if isinstance(output, InferenceBatch):
            return output._replace(pred_score=output.pred_score.flatten())  # (N,)
        return output

    def map_inside(self, teacher: Features, student: Features, inside: Inside) -> torch.Tensor:
        """Anomaly map (N, 1, H, W) of features (N, C, h, w) of what is inside alone, 0 outside."""
        size = tuple(inside.pixels.shape[-2:])
        maps = [
            inside.spread(
                lambda scores: F.interpolate(scores, size=size, mode="bilinear", align_corners=False),
                self.anomaly_map_generator.compute_layer_map(teacher[name], student[name], teacher[name].shape[-2:]),
                key="layer",
            )
            for name in teacher
        ]
        return torch.stack(maps).prod(dim=0)  # (N, 1, H, W)


class AdaptedStudent(MapExtractor):
    """A network to be trained whose feature maps are matched with those of another one.

    A 1x1 convolution stands behind each feature map that has another number of channels than the teacher's.

    Shapes: images (N, 3, H, W) -> for each layer of the teacher (N, C, h, w), with the channels of the teacher.

    Args:
        backbone: timm name.
        teacher: That of the teacher.
        layers: Feature maps of the teacher to match.

    Raises:
        ValueError: No layer at the stride of one of the teacher's.
    """

    def __init__(self, backbone: str, *, teacher: str, layers: Sequence[str]) -> None:
        matched = match_layers(backbone, teacher=teacher, layers=layers)
        own = list(dict.fromkeys(layer.name for layer in matched.values()))
        super().__init__(backbone=backbone, layers=own, pre_trained=False, requires_grad=True)
        wanted = {layer.name: layer.channels for layer in layer_table(teacher)}
        self.sources = {name: layer.name for name, layer in matched.items()}
        self.adapters = nn.ModuleList(
            nn.Identity() if layer.channels == wanted[name] else nn.Conv2d(layer.channels, wanted[name], kernel_size=1)
            for name, layer in matched.items()
        )

    def forward(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Features of images, by the names of the teacher's layers."""
        features = super().forward(inputs)
        return {
            name: adapt(features[source])
            for (name, source), adapt in zip(self.sources.items(), self.adapters, strict=True)
        }


def match_layers(student: str, *, teacher: str, layers: Sequence[str]) -> dict[str, Layer]:
    """Find the student's last layer at the stride of each of the teacher's; between transformers, the one as deep.

    Args:
        student: timm name.
        teacher: timm name.
        layers: Of the teacher.

    Returns:
        The student's layer for each of the teacher's, by name.

    Raises:
        ValueError: The student has no layer at one of the strides.
    """
    strides = {layer.name: layer.reduction for layer in layer_table(teacher)}
    at = {layer.reduction: layer for layer in layer_table(student)}  # a later layer at the same stride replaces one
    for name in layers:
        if strides[name] not in at:
            found = ", ".join(f"{layer.name} (stride {stride})" for stride, layer in at.items())
            msg = (
                f"student_backbone {student!r} has no layer at stride {strides[name]}, that of layer {name!r} of the "
                f"teacher {teacher!r}; it has {found}: choose another student, or other layers of the teacher."
            )
            raise ValueError(msg)
    if is_plain(teacher) and is_plain(student):  # all layers have one stride
        theirs, own = [layer.name for layer in layer_table(teacher)], layer_table(student)
        return {name: own[max(1, round((theirs.index(name) + 1) * len(own) / len(theirs))) - 1] for name in layers}
    return {name: at[strides[name]] for name in layers}
