"""A fitted network as an exported model computes it."""

from __future__ import annotations

from torch import nn

from extensions.models.common.score_pooling import pool_scores, pooling_of


def laid_out(network: nn.Module, image_size: tuple[int, int]) -> nn.Module:
    """The layout that a network has for exports, which takes its scores from the map as the network does; else itself.

    Args:
        network: Fitted.
        image_size: Height and width in px of the images it will get.
    """
    if not hasattr(network, "exportable"):
        return network
    exported: nn.Module = network.exportable(image_size)
    if exported is not network and (pooling := pooling_of(network)) is not None:
        exported.inside = getattr(network, "inside", None)
        pool_scores(exported, pooling)
    return exported
