"""Which tokens of an image show its part and which what lies behind it, as AnomalyDINO tells them apart."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from extensions.backbones.transformers import is_plain

THRESHOLD = 10.0  # of the authors, for the normalized tokens of DINOv2
BORDER = 0.2  # of a side; what is foreground is looked for in the center
LEAST_CENTER = 0.35  # of the center's tokens, else the other side of the component is the foreground
KERNEL = 3  # tokens; of dilation and closing
N_SQUARINGS = 10  # of the covariance: its eigenvalues to the power of 1024
FOREGROUNDS = ("pca",)


def check_foreground(foreground: str | None, backbone: str) -> None:
    """Refuse another word than `pca`, and networks without tokens.

    Raises:
        ValueError: It says what was expected.
    """
    if foreground is None:
        return
    if foreground not in FOREGROUNDS:
        msg = f"foreground is {foreground!r}; expected pca, or None where all of an image counts"
        raise ValueError(msg)
    if not is_plain(backbone):
        msg = (
            f"foreground='pca' is of the tokens of a plain vision transformer, and backbone {backbone!r} is none: take "
            "one such as vit_small_patch14_dinov2.lvd142m, or leave foreground out"
        )
        raise ValueError(msg)


def pca_foreground(maps: torch.Tensor, *, threshold: float = THRESHOLD) -> torch.Tensor:
    """Tokens of the foreground: those far along the first principal component of their image.

    Damm, Laszkiewicz, Lederer, Fischer, "AnomalyDINO: Boosting Patch-based Few-shot Anomaly Detection with DINOv2",
    WACV 2025, https://arxiv.org/abs/2405.14529. As in anomalib's `AnomalyDINOModel.compute_background_masks`: where
    few of the center's tokens are beyond the threshold the component is taken the other way round, and the mask is
    dilated and closed. Differs from both: the component is not drawn by a randomized decomposition but computed by
    squaring the covariance, which is the same each time and can be exported.

    Args:
        maps: (N, C, h, w), tokens of the last layer.
        threshold: Along the component, in units of the tokens.

    Returns:
        (N, 1, h, w) float32: 1 for foreground, else 0.
    """
    height, width = maps.shape[-2:]
    projected = first_component(maps.float().flatten(2).transpose(1, 2)).reshape(-1, 1, height, width)
    upper, lower = (projected > threshold).float(), (-projected > threshold).float()
    rows = slice(int(height * BORDER), int(height * (1 - BORDER)))
    columns = slice(int(width * BORDER), int(width * (1 - BORDER)))
    center = upper[..., rows, columns].mean(dim=(1, 2, 3), keepdim=True)  # (N, 1, 1, 1)
    mask = torch.where(center <= LEAST_CENTER, lower, upper)
    dilated = _dilate(_dilate(mask))  # once, and as the first half of the closing
    return 1 - _dilate(1 - dilated)


def first_component(tokens: torch.Tensor) -> torch.Tensor:
    """Place of each token along the first principal component of its image: (N, P, C) -> (N, P).

    The largest entry of the component is positive, as scikit-learn's is.
    """
    centered = tokens - tokens.mean(dim=1, keepdim=True)
    power = centered.transpose(1, 2) @ centered  # (N, C, C)
    for _ in range(N_SQUARINGS):
        power = power / power.abs().amax(dim=(1, 2), keepdim=True).clamp_min(1e-30)
        power = power @ power
    # Now the outer product of the component with itself: the column with the largest diagonal entry is the component.
    place = power.diagonal(dim1=1, dim2=2).argmax(dim=1)[:, None, None].expand(-1, power.shape[1], 1)
    component = power.gather(2, place)  # (N, C, 1)
    component = component / component.pow(2).sum(dim=1, keepdim=True).sqrt().clamp_min(1e-30)
    return (centered @ component)[..., 0]


def or_all(mask: torch.Tensor) -> torch.Tensor:
    """A mask (N, 1, h, w), all ones for an image that has no foreground: an image that shows no part is no good one."""
    return torch.where(mask.amax(dim=(1, 2, 3), keepdim=True) > 0, mask, torch.ones_like(mask))


def _dilate(mask: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(mask, KERNEL, stride=1, padding=KERNEL // 2)
