"""SimCLR."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from extensions.configuration.checked_values import check_values
from extensions.models.contrastive_stfpm.loss import contrastive_loss
from extensions.self_supervised.images.view_dataset import Views
from extensions.self_supervised.methods.two_views import TwoViewsMethod

QUEUE = "workbench_queue"  # key of a checkpoint


class SimCLR(TwoViewsMethod):
    """SimCLR: two random views of an image shall have like embeddings, those of other images unlike ones.

    Chen, Kornblith, Norouzi, Hinton, "A Simple Framework for Contrastive Learning of Visual Representations", 2020,
    https://arxiv.org/abs/2002.05709. Views, projection head and NT-Xent are lightly's. Differs from the paper: SGD in
    place of LARS, which is for batches of thousands, and crops down to a fifth of the area (paper: 0.08), for a part of
    one product looks like any other.

    Args:
        backbone: timm architecture or `arch.tag`.
        projection_size: Length of an embedding.
        temperature: Divides the cosine similarities, larger is softer.
        queue_size: Past embeddings to compare with, for small batches; 0 compares within the batch.
        kwargs: See `TwoViewsMethod`, such as `views` and `spd_weight`, and `Method`.

    Raises:
        ValueError: Unknown backbone or setting of the views, or a number out of range.
        WeightsError: Weights that do not fit.

    Example:
        >>> method = SimCLR("resnet18", temperature=0.2)
    """

    def __init__(
        self,
        backbone: str = "resnet18",
        *,
        projection_size: int = 128,
        temperature: float = 0.2,
        queue_size: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(backbone, **kwargs)
        from lightly.models.modules import SimCLRProjectionHead

        check_values(
            projection_size=(projection_size, projection_size >= 2, "2 or more"),
            temperature=(temperature, temperature > 0, "more than 0"),
            queue_size=(queue_size, queue_size >= 0, "0 or more"),
        )
        self.queue_size = queue_size
        self.head = SimCLRProjectionHead(self.n_features, self.n_features, projection_size)
        self.nt_xent: nn.Module = contrastive_loss(
            temperature=temperature, queue_size=queue_size, projection_size=projection_size
        )

    def loss(self, batch: Views) -> tuple[torch.Tensor, torch.Tensor]:
        """NT-Xent of the two views and SPD, and the embeddings of the first."""
        if self.trainer.world_size > 1 and not self.queue_size:
            self.nt_xent.gather_distributed = True  # known only now
        features, spot = self.encode(batch)
        projected = self.head(features)  # (2 N, K)
        with torch.autocast(projected.device.type, enabled=False):  # half precision is too coarse for similarities
            first, second = F.normalize(projected.float()).chunk(2)  # (N, K) each
            return self.nt_xent(first, second) + spot, first

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the queue, too, which lightly leaves out."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[QUEUE] = {name: buffer.clone() for name, buffer in self.nt_xent.named_buffers()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the queue as it was."""
        for name, buffer in self.nt_xent.named_buffers():
            if name in checkpoint.get(QUEUE, {}):
                buffer.copy_(checkpoint[QUEUE][name])
