"""The image's score, taken from the map of any network: at use, so that it needs no other fit."""

from __future__ import annotations

from typing import Any

import torch
from anomalib.data import InferenceBatch
from torch import nn

from extensions.data.score_pooling import ScorePooling
from extensions.models.common.inside import Inside, find_inside


def pool_scores(network: nn.Module, pooling: ScorePooling | None) -> None:
    """Have a network's scores taken from its maps from now on.

    Args:
        network: Of images (N, C, H, W); its eval forward gives an `InferenceBatch` with a map.
        pooling: How; None leaves the network's own scores.
    """
    network.score_pooling = pooling
    if _pool_output not in network._forward_hooks.values():
        network.register_forward_hook(_pool_output)


def pooling_of(network: nn.Module) -> ScorePooling | None:
    """How a network's scores are taken from its maps; None where they are its own."""
    found: ScorePooling | None = getattr(network, "score_pooling", None)
    return found


def pooled(network: nn.Module, images: torch.Tensor, found: InferenceBatch) -> InferenceBatch:
    """What a network found in images (N, C, H, W), with the scores that its map gives as it was told to.

    For those that have it by another way than the network's forward, which does so itself.
    """
    pooling = pooling_of(network)
    if pooling is None or found.anomaly_map is None:
        return found
    scores = pooled_scores(found.anomaly_map, pooling, find_inside(network, images))
    return found._replace(pred_score=scores)


def pooled_scores(maps: torch.Tensor, pooling: ScorePooling, inside: Inside | None = None) -> torch.Tensor:
    """Raw scores (N,), higher is more anomalous.

    Args:
        maps: (N, 1, H, W), higher is more anomalous.
        pooling: How many pixels are averaged: at least one, at most all that count.
        inside: Which count; None for all. An image of which none does scores 0.
    """
    values = maps.flatten(1).float()  # (N, P)
    if inside is not None and inside.is_fixed:
        values = values.index_select(1, inside.rows(maps.shape[-2:]))
    most = min(max(1, pooling.n_of(values.shape[1])), values.shape[1])
    if inside is None or inside.is_fixed:
        return values.amax(dim=1) if most == 1 else values.topk(most, dim=1).values.mean(dim=1)
    counted = inside.pixels.flatten(1) > 0
    n_counted = counted.sum(dim=1, keepdim=True)  # (N, 1)
    n = torch.minimum(pooling.n_of(n_counted).clamp_min(1), n_counted)
    highest = values.masked_fill(~counted, float("-inf")).topk(most, dim=1).values  # (N, most)
    kept = torch.arange(most, device=values.device) < n
    return highest.masked_fill(~kept, 0).sum(dim=1) / n.clamp_min(1)[:, 0]


def _pool_output(network: nn.Module, arguments: tuple[Any, ...], output: Any) -> Any:
    """A forward hook, which a copy of the network keeps."""
    return pooled(network, arguments[0], output) if isinstance(output, InferenceBatch) else output
