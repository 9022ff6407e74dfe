"""How far a student is from its teacher, and the loss that parts normal positions from defects."""

import torch
from torch.nn import functional as F

Features = dict[str, torch.Tensor]

EPSILON = 1e-6  # of a discrepancy, 0 to 4: a defect that student and teacher agree on has a finite weight


def discrepancies(teacher: Features, student: Features) -> torch.Tensor:
    """Squared distance of the unit-length features at each position of each layer.

    Args:
        teacher: For each layer (N, C, h, w), highest resolution first.
        student: Likewise.

    Returns:
        (N, L, h, w) at the size of the first layer, 0 to 4, higher is more anomalous.
    """
    found: list[torch.Tensor] = []
    for layer in teacher:
        distance = (F.normalize(teacher[layer]) - F.normalize(student[layer])).square().sum(dim=1, keepdim=True)
        if found and distance.shape[-2:] != found[0].shape[-2:]:
            distance = enlarged(distance, size=found[0].shape[-2:])
        found.append(distance)  # (N, 1, h, w)
    return torch.cat(found, dim=1)  # (N, L, h, w)


def enlarged(distances: torch.Tensor, *, size: tuple[int, int] | torch.Size) -> torch.Tensor:
    """Distances (N, 1, h, w) of a coarser layer at the size of another."""
    return F.interpolate(distances, size=size, mode="bilinear", align_corners=True)


def collaborative_loss(
    distances: torch.Tensor,
    marked: torch.Tensor,
    *,
    gamma: float = 2.0,
    margin: bool = True,
    overlap: bool = True,
    inside: torch.Tensor | None = None,
) -> torch.Tensor:
    """Collaborative discrepancy optimization: low discrepancies on normal positions, high ones on defects.

    Cao, Xu, Liu, Shen, "Collaborative Discrepancy Optimization for Reliable Image Anomaly Localization", 2023,
    https://arxiv.org/abs/2302.08769. Of a layer, over all positions of the batch, with n the normal ones and s those
    of defects: (sum w_n d_n - sum w_s d_s) / (sum w_n + sum w_s), where w_n = (d_n / mean d_n)^gamma and
    w_s = (mean d_s / d_s)^gamma carry no gradient. Layers are summed. Where there are no defects it is the normal
    part alone. Differs from the authors' code: it is not multiplied by the size of the batch, which Adam's steps do
    not depend on, d_s in w_s is at least 1e-6, and a position is of a defect if any pixel of it is marked. The nearest
    pixel, which decides there, misses real defects of a few px: the student then learns to imitate the teacher on them,
    all the more the farther it is from it.

    Args:
        distances: (N, L, h, w), see `discrepancies`.
        marked: (N, 1, H, W) bool, true on defects, at the size of the maps or larger.
        gamma: How much harder positions count than easy ones: normal ones of large distance, defects of a small one.
        margin: Whether defects are pushed away (MOM); False leaves their positions out.
        overlap: Whether positions are weighted (OOM); False counts all alike, as gamma 0 does.
        inside: (1 or N, 1, h, w), 1 at positions that count, else 0; None counts all.

    Returns:
        A scalar; below 0 where defects are farther than what is normal.
    """
    distances = distances.float()
    is_defect = F.adaptive_max_pool2d(marked.to(distances), distances.shape[-2:])  # (N, 1, h, w)
    counted = torch.ones_like(is_defect) if inside is None else inside.to(is_defect).expand_as(is_defect)
    weights = _weights(distances.detach(), is_defect, counted, gamma if overlap else 0.0)
    if not margin:
        weights = weights * (1 - is_defect)
    signed = (1 - 2 * is_defect) * weights * distances
    everywhere = (0, 2, 3)
    return (signed.sum(dim=everywhere) / weights.sum(dim=everywhere).clamp_min(EPSILON)).sum()


def _weights(distances: torch.Tensor, is_defect: torch.Tensor, counted: torch.Tensor, gamma: float) -> torch.Tensor:
    """Weights (N, L, h, w) of the positions, 0 for those that do not count."""

    def mean(part: torch.Tensor) -> torch.Tensor:
        total = (distances * part).sum(dim=(0, 2, 3), keepdim=True)
        return (total / part.sum().clamp_min(1)).clamp_min(EPSILON)  # (1, L, 1, 1)

    normal = distances / mean((1 - is_defect) * counted)
    defect = mean(is_defect * counted) / distances.clamp_min(EPSILON)
    return torch.where(is_defect > 0, defect, normal) ** gamma * counted
