"""BYOL."""

import copy
from typing import Any

import torch

from extensions.configuration.checked_values import check_values
from extensions.self_supervised.images.view_dataset import Views
from extensions.self_supervised.methods.simsiam import crosswise_loss
from extensions.self_supervised.methods.two_views import TwoViewsMethod


class Byol(TwoViewsMethod):
    """BYOL: from one view of an image what a slower copy of the network makes of the other view shall be predicted.

    Grill et al., "Bootstrap Your Own Latent", 2020, https://arxiv.org/abs/2006.07733. Views and heads are lightly's.
    The copy follows the network with each step, by a momentum that rises to 1 along half a cosine. Differs from the
    paper: SGD in place of LARS, which is for batches of thousands, milder crops (`TwoViewsMethod`), and the loss is
    minus the mean cosine similarity, a quarter of the paper's but for a constant: the rate takes that up.

    Args:
        backbone: timm architecture or `arch.tag`.
        projection_size: Length of an embedding.
        hidden_size: Of head and predictor.
        target_momentum: Of the copy at the start; the paper's for 300 epochs (0.996 for 1,000).
        kwargs: See `TwoViewsMethod`, such as `views` and `spd_weight`, and `Method`.

    Raises:
        ValueError: Unknown backbone or setting of the views, or a number out of range.
        WeightsError: Weights that do not fit.

    Example:
        >>> method = Byol("resnet18", spd_weight=0.1)
    """

    def __init__(
        self,
        backbone: str = "resnet18",
        *,
        projection_size: int = 256,
        hidden_size: int = 4096,
        target_momentum: float = 0.99,
        **kwargs: Any,
    ) -> None:
        super().__init__(backbone, **kwargs)
        from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
        from lightly.models.utils import deactivate_requires_grad

        check_values(
            projection_size=(projection_size, projection_size >= 2, "2 or more"),
            hidden_size=(hidden_size, hidden_size >= 1, "1 or more"),
            target_momentum=(target_momentum, 0 <= target_momentum <= 1, "a number from 0 to 1"),
        )
        self.target_momentum = target_momentum
        self.head = BYOLProjectionHead(self.n_features, hidden_size, projection_size)
        self.predictor = BYOLPredictionHead(projection_size, hidden_size, projection_size)
        self.target = torch.nn.Sequential(copy.deepcopy(self.encoder), copy.deepcopy(self.head))
        deactivate_requires_grad(self.target)

    def loss(self, batch: Views) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine loss of the predictions and SPD, and the embeddings of the first views."""
        features, spot = self.encode(batch)
        embeddings = self.head(features)  # (2 N, K)
        with torch.no_grad():
            targets = self.target(torch.cat([batch["first"], batch["second"]]))
        return crosswise_loss(self.predictor(embeddings), targets) + spot, embeddings.chunk(2)[0]

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Take the step, then let the copy follow."""
        super().optimizer_step(*args, **kwargs)
        from lightly.models.utils import update_momentum
        from lightly.utils.scheduler import cosine_schedule

        n_steps = int(self.trainer.estimated_stepping_batches)
        momentum = cosine_schedule(min(self.trainer.global_step, n_steps), n_steps, self.target_momentum, 1)
        for network, follower in zip((self.encoder, self.head), self.target, strict=True):
            update_momentum(network, follower, m=momentum)
