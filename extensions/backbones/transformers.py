"""Vision transformers among the backbones: which names are, their patches, and a network for images of one size."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from extensions.backbones.registry import architecture
from extensions.backbones.without_memory import build_without_memory

if TYPE_CHECKING:
    from torch import nn

# Files of timm. Of each the networks take images of other sizes than they were made for, and give maps (N, C, h, w).
PLAIN = ("vision_transformer", "vision_transformer_hybrid", "eva")  # eva has DINOv3
WINDOWED = ("swin_transformer", "swin_transformer_v2", "swin_transformer_v2_cr")


def is_transformer(backbone: str) -> bool:
    """Whether timm's network of this name is a vision transformer that is used by its tokens: ViT, DINO, EVA, Swin."""
    return is_plain(backbone) or _is_in(backbone, WINDOWED)


def is_plain(backbone: str) -> bool:
    """Whether it is one whose feature maps all have one size, that of its patches: ViT, DINOv2, DINOv3, EVA."""
    return _is_in(backbone, PLAIN)


def _is_in(backbone: str, modules: Sequence[str]) -> bool:
    import timm

    return timm.models.is_model_in_modules(backbone, modules)


def build_transformer(backbone: str, **arguments: Any) -> nn.Module:
    """Timm's complete network, for images of any size that its patches fit, with random weights.

    Tokens of classes and registers are its own matter: `forward_intermediates` leaves them out of the maps it gives.
    """
    import timm

    return timm.create_model(backbone, pretrained=False, **{"dynamic_img_size": True, **arguments})


def patch_size(backbone: str) -> int:
    """Sides in px that images for a backbone must be multiples of: 1 for convolutions, 14 for DINOv2.

    Raises:
        ValueError: timm does not know the architecture.
    """
    return _patch_size(architecture(backbone)) if is_transformer(backbone) else 1


@lru_cache(maxsize=64)
def _patch_size(name: str) -> int:
    # The first map of a hybrid has the stride of its convolutions, too.
    return int(build_without_memory(name, dynamic_img_size=True).feature_info[0]["reduction"])


def fitting_size(backbone: str, size: tuple[int, int]) -> tuple[int, int]:
    """The nearest height and width in px, at least a patch each, of images that a backbone takes; `size` if it does."""
    side = patch_size(backbone)
    height, width = (max(side, side * int(length / side + 0.5)) for length in size)
    return height, width


def check_fits(backbone: str, size: tuple[int, int]) -> None:
    """Refuse images that the patches of a backbone do not fit.

    Raises:
        ValueError: It names the size, the patches and the nearest size.
    """
    nearest = fitting_size(backbone, size)
    if nearest != size:
        msg = (
            f"images of {size[0]} x {size[1]} px do not fit backbone {backbone!r}, whose patches have "
            f"{patch_size(backbone)} px: resize them to {nearest[0]} x {nearest[1]} px"
        )
        raise ValueError(msg)


def fixed_to_size(network: nn.Module, backbone: str, size: tuple[int, int]) -> nn.Module:
    """A network with the same features, for images of one height and width in px: nothing in it depends on the size.

    Position embeddings are resampled once, by timm, and not in each pass, which exporters cannot all write down. One
    whose tokens attend within windows stays as it is.
    """
    import torch

    from extensions.backbones.input_channels import in_channels

    if not is_plain(backbone):
        return network
    resampled = copy.deepcopy(network)
    resampled.set_input_size(img_size=size)
    with torch.random.fork_rng(devices=[]):
        fixed = build_transformer(backbone, img_size=size, dynamic_img_size=False, in_chans=in_channels(network))
    state = resampled.state_dict()
    fixed = fixed.to(next(iter(state.values())))
    fixed.load_state_dict(state)
    return fixed.train(network.training).requires_grad_(False)
