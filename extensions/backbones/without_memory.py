"""Networks looked at before they are built."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def build_without_memory(name: str, **arguments: bool) -> nn.Module:
    """Timm's network on torch's meta device: shapes without values.

    Args:
        name: A name that timm builds.
        arguments: For `timm.create_model`.
    """
    import timm
    import torch

    with torch.random.fork_rng(devices=[]):  # looking must not change what a seed gives
        try:
            with torch.device("meta"):
                return timm.create_model(name, pretrained=False, **arguments)
        except (NotImplementedError, RuntimeError):  # some constructors compute with values, which meta tensors lack
            return timm.create_model(name, pretrained=False, **arguments)
