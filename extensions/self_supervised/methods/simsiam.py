"""SimSiam."""

from typing import Any, ClassVar

import torch
from torch.nn import functional as F

from extensions.configuration.checked_values import check_values
from extensions.self_supervised.images.view_dataset import Views
from extensions.self_supervised.methods.two_views import TwoViewsMethod


class SimSiam(TwoViewsMethod):
    """SimSiam: from one view of an image its other view's embedding shall be predicted; no other images are needed.

    Chen and He, "Exploring Simple Siamese Representation Learning", 2021, https://arxiv.org/abs/2011.10566. The target
    gets no gradient, and the predictor's rate does not fall, as in the paper. Views and heads are lightly's. Differs
    from the paper: the rate rises first and crops are milder (`Method`, `TwoViewsMethod`).

    Args:
        backbone: timm architecture or `arch.tag`.
        projection_size: Length of an embedding, and the width of the head.
        hidden_size: Of the predictor, narrower than an embedding.
        kwargs: See `TwoViewsMethod`, such as `views` and `spd_weight`, and `Method`.

    Raises:
        ValueError: Unknown backbone or setting of the views, or a number out of range.
        WeightsError: Weights that do not fit.

    Example:
        >>> method = SimSiam("resnet18", spd_weight=0.1)
    """

    steady: ClassVar[tuple[str, ...]] = ("predictor",)

    def __init__(
        self,
        backbone: str = "resnet18",
        *,
        projection_size: int = 2048,
        hidden_size: int = 512,
        **kwargs: Any,
    ) -> None:
        super().__init__(backbone, **kwargs)
        from lightly.models.modules import SimSiamPredictionHead, SimSiamProjectionHead

        check_values(
            projection_size=(projection_size, projection_size >= 2, "2 or more"),
            hidden_size=(hidden_size, hidden_size >= 1, "1 or more"),
        )
        self.head = SimSiamProjectionHead(self.n_features, projection_size, projection_size)
        self.predictor = SimSiamPredictionHead(projection_size, hidden_size, projection_size)

    def loss(self, batch: Views) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine loss of the predictions and SPD, and the embeddings of the first views."""
        features, spot = self.encode(batch)
        embeddings = self.head(features)  # (2 N, K)
        loss = crosswise_loss(self.predictor(embeddings), embeddings)
        return loss + spot, embeddings.chunk(2)[0]


def crosswise_loss(predictions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Minus the cosine similarity of each view's prediction and the other view's target, which gets no gradient.

    Args:
        predictions: (2 N, K), the first views, then the second ones.
        targets: (2 N, K), in the same order.

    Returns:
        A scalar, -1 (alike) to 1.
    """
    with torch.autocast(predictions.device.type, enabled=False):  # half precision is too coarse for similarities
        first, second = targets.detach().float().chunk(2)
        return -F.cosine_similarity(predictions.float(), torch.cat([second, first])).mean()
