"""STFPM's two networks and a projection head on the student."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from anomalib.data import InferenceBatch
from torch import nn
from torch.nn import functional as F

from extensions.models.common.inside import find_inside
from extensions.models.stfpm.torch_model import Features, STFPMModel


class ContrastiveStfpmModel(STFPMModel):
    """STFPM's network whose student also embeds images: its deepest features, averaged, through SimCLR's head.

    Shapes: images (N, 3, H, W) -> as `STFPMModel`; the head plays no part in scores and is not exported.

    Args:
        layers: Feature maps to match.
        backbone: timm name of both networks.
        projection_size: Length of an embedding; None builds no head.
    """

    def __init__(
        self, layers: Sequence[str], backbone: str = "resnet18", *, projection_size: int | None = None
    ) -> None:
        super().__init__(layers, backbone)
        self.projection_head: nn.Module | None = None
        if projection_size is not None:
            from lightly.models.modules import SimCLRProjectionHead

            width = self.student_model.out_dims[-1]
            with torch.random.fork_rng(devices=[]):  # what a seed gives is the same without a head
                self.projection_head = SimCLRProjectionHead(width, width, projection_size)

    def compare(self, images: torch.Tensor) -> tuple[Features, Features, InferenceBatch]:
        """Features of teacher and student, for each layer (N, C, h, w), and what they give as in `forward`."""
        teacher, student = self.teacher_model(images), self.student_model(images)
        inside = find_inside(self, images)
        if inside is None:
            anomaly_map = self.anomaly_map_generator(
                teacher_features=teacher, student_features=student, image_size=images.shape[-2:]
            )  # (N, 1, H, W)
        else:
            anomaly_map = self.map_inside(teacher, student, inside)
            teacher, student = (
                {name: inside.gathered(maps) for name, maps in one.items()} for one in (teacher, student)
            )
        return teacher, student, InferenceBatch(pred_score=anomaly_map.amax(dim=(1, 2, 3)), anomaly_map=anomaly_map)

    def project(self, images: torch.Tensor) -> torch.Tensor:
        """Embeddings (N, K) of unit length of images (N, 3, H, W).

        In training the statistics of batch normalization are those of the batch and leave no trace in the student: its
        running statistics are those of the unaugmented images that it is tested on.

        Raises:
            ValueError: There is no head.
        """
        if self.projection_head is None:
            msg = "this model has no contrastive head, since contrastive_weight is 0: train one with more than 0."
            raise ValueError(msg)
        with _without_running_statistics(self.student_model):
            deepest = list(self.student_model(images).values())[-1]  # (N, C, h, w)
        return F.normalize(self.projection_head(deepest.mean(dim=(2, 3))))  # (N, K)


@contextmanager
def _without_running_statistics(network: nn.Module) -> Iterator[None]:
    """Inside the block, training batches leave the running statistics of batch normalization as they are."""
    modules = [module for module in network.modules() if getattr(module, "track_running_stats", False)]
    if not network.training:
        modules = []
    for module in modules:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in modules:
            module.track_running_stats = True
