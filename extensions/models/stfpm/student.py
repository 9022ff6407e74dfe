"""A student of another architecture than its teacher, whose features bear the names of the teacher's layers."""

from collections.abc import Sequence

import torch
from anomalib.models.components import TimmFeatureExtractor
from torch import nn

from extensions.backbones import Layer, layer_table


class AdaptedStudent(TimmFeatureExtractor):
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
    """Find the student's last layer at the stride of each of the teacher's.

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
    return {name: at[strides[name]] for name in layers}
