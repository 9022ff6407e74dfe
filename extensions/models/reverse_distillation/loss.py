"""How far decoded features are from those of the encoder."""

from collections.abc import Sequence

import torch
from torch.nn import functional as F


def distillation_loss(encoded: Sequence[torch.Tensor], decoded: Sequence[torch.Tensor]) -> torch.Tensor:
    """Cosine distance of whole feature maps, averaged over images and summed over layers.

    As the authors' code and anomalib compute it; the paper averages the distance of each position. Anomalib's own
    stops with an error at features in channels-last order.

    Args:
        encoded: For each layer (N, C, h, w).
        decoded: Likewise.

    Returns:
        A scalar, 0 to 2 a layer.
    """
    similarities = [
        F.cosine_similarity(wanted.flatten(1), found.flatten(1)) for wanted, found in zip(encoded, decoded, strict=True)
    ]  # (N,) a layer
    return torch.stack([(1 - similarity).mean() for similarity in similarities]).sum()
