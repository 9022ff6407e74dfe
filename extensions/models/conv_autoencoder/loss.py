"""How far a reconstruction is from its image."""

from typing import Any

import torch
from torch.nn import functional as F

LOSSES = ("l2", "ssim")


def reconstruction_loss(kind: str, reconstructions: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """The loss of a batch, lower is better.

    Args:
        kind: `l2`, the mean squared error over all pixels and channels, or `ssim`, one minus the mean structural
            similarity in windows of 11 x 11 px (Bergmann et al., "Improving Unsupervised Defect Segmentation by
            Applying Structural Similarity to Autoencoders", 2019, https://arxiv.org/abs/1807.02011), which weighs by a
            Gaussian of 1.5 px as Wang et al. 2004 do.
        reconstructions: (N, 3, H, W), in 0 to 1.
        images: Likewise.

    Returns:
        A scalar; 0 for equal images, at most 1 (`l2`) or 2 (`ssim`).
    """
    if kind == "l2":
        return F.mse_loss(reconstructions, images)
    from torchmetrics.functional.image import structural_similarity_index_measure

    similarity: Any = structural_similarity_index_measure(reconstructions, images, data_range=1.0)
    return 1 - similarity


def reconstruction_error(reconstructions: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Squared error of each pixel, averaged over the channels: (N, 1, H, W), higher is more anomalous."""
    return (reconstructions - images).square().mean(dim=1, keepdim=True)
