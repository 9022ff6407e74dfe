"""CDO's two networks: those of STFPM, whose distances are added up over the layers."""

from collections.abc import Sequence
from typing import Literal

import torch
from anomalib.data import InferenceBatch
from anomalib.models.components import GaussianBlur2d
from torch import nn
from torch.nn import functional as F

from extensions.models.cdo.loss import discrepancies
from extensions.models.stfpm.torch_model import Features, STFPMModel

Score = Literal["max", "top"]

TOP = 100  # one pixel of so many is among those whose mean is the score


class CdoModel(STFPMModel):
    """STFPM's networks; an image's map is the sum of their distances.

    Shapes: images (N, 3, H, W) -> as `STFPMModel`.

    Args:
        layers: Feature maps to compare, highest resolution first.
        backbone: timm name of both networks.
        score: `max` of the map, or mean of the `top` 1 % of its pixels.
        sigma: Of the Gaussian that the map is blurred by, in px.
    """

    def __init__(
        self, layers: Sequence[str], backbone: str = "resnet18", *, score: Score = "max", sigma: float = 4.0
    ) -> None:
        super().__init__(layers, backbone)
        self.anomaly_map_generator = SummedMap(sigma)
        self.score = score

    def forward(self, images: torch.Tensor) -> tuple[Features, Features] | InferenceBatch:
        """Compare teacher and student."""
        output = super().forward(images)
        if isinstance(output, InferenceBatch) and self.score == "top":
            return output._replace(pred_score=mean_of_top(output.anomaly_map))
        return output

    def compare_drawn(self, images: torch.Tensor) -> torch.Tensor:
        """Distances (N, L, h, w) on images (N, 3, H, W) that are not those of the files which the batch names.

        What a run knows of the teacher's features is of the images as they are.
        """
        return discrepancies(self.teacher_model.compute(images), self.student_model(images))


class SummedMap(nn.Module):
    """The sum of the distances of all layers, enlarged and blurred by a Gaussian of `sigma` px."""

    def __init__(self, sigma: float = 4.0) -> None:
        super().__init__()
        self.blur = GaussianBlur2d(sigma=sigma, channels=1)

    def forward(
        self, teacher_features: Features, student_features: Features, image_size: tuple[int, int] | torch.Size
    ) -> torch.Tensor:
        """Map (N, 1, H, W) of features, for each layer (N, C, h, w); higher is more anomalous."""
        summed = discrepancies(teacher_features, student_features).sum(dim=1, keepdim=True)  # (N, 1, h, w)
        enlarged = F.interpolate(summed, size=image_size, mode="bilinear", align_corners=False)  # (N, 1, H, W)
        blurred: torch.Tensor = self.blur(enlarged)
        return blurred


def mean_of_top(maps: torch.Tensor) -> torch.Tensor:
    """Mean (N,) of the highest 1 % of the pixels of maps (N, 1, H, W)."""
    flat = maps.flatten(1)
    return flat.topk(max(1, flat.shape[1] // TOP), dim=1).values.mean(dim=1)
