"""Backbones for images of other than three channels: their first convolution, adapted as timm adapts it."""

from __future__ import annotations

import torch
from timm.models import adapt_input_conv
from torch import nn

RGB = 3


def in_channels(network: nn.Module) -> int:
    """The channels of the images that a network takes; 3 where it cannot be told."""
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    return RGB if first is None else first.in_channels


def set_in_channels(network: nn.Module, n_channels: int) -> None:
    """Change a network for images of three channels into one for another number, its weights adapted.

    The weights of the first convolution are repeated over the channels (red, green, blue, red, …) and multiplied by
    3 / n, so that what comes out keeps its size; for one channel they are summed. As timm's
    ``create_model(..., in_chans=n)`` does with pretrained weights: Wightman, PyTorch Image Models, 2019,
    https://github.com/huggingface/pytorch-image-models, function ``adapt_input_conv``.

    Args:
        network: All convolutions on three channels in it are changed, which are those that see the image.
        n_channels: Of the images.

    Raises:
        ValueError: It has no such convolution, or it was changed before to take another number.
    """
    if in_channels(network) == n_channels:
        return
    found = [module for module in network.modules() if isinstance(module, nn.Conv2d) and module.in_channels == RGB]
    found = [module for module in found if module.groups == 1]
    if not found:
        msg = (
            f"a network for images of {in_channels(network)} channels cannot be changed to take {n_channels}: build "
            "another model, one whose backbone begins with a convolution"
        )
        raise ValueError(msg)
    for module in found:
        with torch.no_grad():
            weight = adapt_input_conv(n_channels, module.weight)
        if module.weight.is_contiguous(memory_format=torch.channels_last):
            weight = weight.contiguous(memory_format=torch.channels_last)
        module.weight = nn.Parameter(weight.clone(), requires_grad=module.weight.requires_grad)
        module.in_channels = n_channels
