"""CDO's two networks: those of STFPM, whose distances are added up over the layers."""

from collections.abc import Sequence
from functools import partial

import torch
from anomalib.models.components import GaussianBlur2d
from torch import nn
from torch.nn import functional as F

from extensions.models.cdo.loss import discrepancies, enlarged
from extensions.models.common.inside import Inside
from extensions.models.stfpm.torch_model import Features, STFPMModel


class CdoModel(STFPMModel):
    """STFPM's networks; an image's map is the sum of their distances.

    Shapes: images (N, 3, H, W) -> as `STFPMModel`.

    Args:
        layers: Feature maps to compare, highest resolution first.
        backbone: timm name of both networks.
        sigma: Of the Gaussian that the map is blurred by, in px.
    """

    def __init__(self, layers: Sequence[str], backbone: str = "resnet18", *, sigma: float = 4.0) -> None:
        super().__init__(layers, backbone)
        self.anomaly_map_generator = SummedMap(sigma)

    def compare_drawn(self, images: torch.Tensor) -> torch.Tensor:
        """Distances (N, L, h, w) on images (N, 3, H, W) that are not those of the files which the batch names.

        What a run knows of the teacher's features is of the images as they are.
        """
        return discrepancies(self.teacher_model.compute(images), self.student_model(images))

    def map_inside(self, teacher: Features, student: Features, inside: Inside) -> torch.Tensor:
        """As `STFPMModel.map_inside`; what a coarser layer says of a position is of what is inside, too."""
        size = tuple(inside.pixels.shape[-2:])
        first = next(iter(teacher.values())).shape[-2:]
        spreading = Inside(inside.positions(first), is_fixed=inside.is_fixed, known=inside.known)
        layers = [
            spreading.spread(
                partial(enlarged, size=tuple(first)),
                discrepancies({name: teacher[name]}, {name: student[name]}),
                key="layer",
            )
            for name in teacher
        ]
        return inside.spread(
            lambda maps: self.anomaly_map_generator.enlarge(maps, size), torch.stack(layers).sum(dim=0), key="map"
        )


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
        return self.enlarge(summed, image_size)

    def enlarge(self, distances: torch.Tensor, image_size: tuple[int, int] | torch.Size) -> torch.Tensor:
        """Distances (N, 1, h, w) as blurred maps (N, 1, H, W)."""
        blurred: torch.Tensor = self.blur(
            F.interpolate(distances, size=image_size, mode="bilinear", align_corners=False)
        )
        return blurred
