"""Weights files of transformers in other forms than timm's own: other names, or made for images of another size."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

logger = logging.getLogger(__name__)

POSITIONS = "pos_embed"
OF_ARCHITECTURE = ("patch_embed.proj.weight", "relative_position_bias_table")  # which timm would resample, too


def as_timm_loads(
    tensors: Mapping[str, torch.Tensor], network: nn.Module, *, prefix: str = ""
) -> dict[str, torch.Tensor]:
    """The tensors of a file as timm puts them into a network of their architecture, by timm's own function for it.

    Names of the authors' files become timm's (DINOv2, DINOv3, first Swin files), constants that are stored no more are
    dropped, and position embeddings for another number of patches are resampled, which a sentence in the log says.
    Differs from timm: kernels of patches and biases of windows of another size are left as they are, for they are
    another architecture's, and what does not fit is an error of the caller.

    Args:
        tensors: By the names of the file.
        network: timm's, complete.
        prefix: Of the names that belong to the network; others are left out.
    """
    own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return own
    try:
        converted: dict[str, torch.Tensor] = convert(dict(own), network)
    except (AttributeError, IndexError, KeyError, RuntimeError, ValueError):  # not the tensors of such a network
        return own
    for name, tensor in converted.items():
        found = own.get(name)
        if found is None or found.shape == tensor.shape:
            continue
        if name == POSITIONS:
            logger.warning(
                "position embeddings of the file are for %d tokens, resampled to %d as timm does it",
                found.shape[-2],
                tensor.shape[-2],
            )
        elif name.endswith(OF_ARCHITECTURE) and found.numel() != tensor.numel():
            converted[name] = found
    return converted
