"""The network that is pretrained: all of a timm backbone but its classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from extensions.backbones import WeightsError, check_backbone, resolve_weights
from extensions.backbones.tensors import read_tensors

if TYPE_CHECKING:
    import torch
    from torch import nn


def build_encoder(backbone: str, *, weights: str | Path | None = None, pre_trained: bool = False) -> nn.Module:
    """A backbone whose output is its pooled features: (N, 3, H, W) -> (N, `num_features`).

    Args:
        backbone: timm architecture or `arch.tag`.
        weights: File to start from; every tensor must be in it, those of a classifier may.
        pre_trained: Start from the backbone's own weights, as `python -m extensions.backbones list` shows them.

    Raises:
        ValueError: Unknown backbone or tag.
        WeightsNotFoundError: `pre_trained` and no weights in any of the places.
        WeightsError: The file does not fit; the message lists what is missing.
    """
    import timm

    network = timm.create_model(check_backbone(backbone), pretrained=False, num_classes=0)
    if weights is not None or pre_trained:
        resolved = resolve_weights(backbone, weights)
        if resolved.path is None:
            msg = f"weights of {backbone!r} ({resolved.source}) have no file to load"
            raise WeightsError(msg)
        load_encoder(network, read_tensors(resolved.path), name=backbone, origin=str(resolved.path))
    return network


def load_encoder(network: nn.Module, tensors: dict[str, torch.Tensor], *, name: str, origin: str) -> None:
    """Load all tensors of a network; the network is unchanged when they do not fit.

    Raises:
        WeightsError: A tensor is missing, is not one of the network's (a classifier's aside) or has another shape.
    """
    state = network.state_dict()
    missing = sorted(state.keys() - tensors.keys())
    classifier = str(getattr(network, "default_cfg", {}).get("classifier") or "fc")
    unexpected = sorted(key for key in tensors.keys() - state.keys() if not key.startswith(f"{classifier}."))
    wrong = sorted(key for key in state.keys() & tensors.keys() if state[key].shape != tensors[key].shape)
    problems = [
        f"{what} {len(keys)} tensors ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for what, keys in (("missing", missing), ("unexpected", unexpected), ("other shapes of", wrong))
        if keys
    ]
    if problems:
        msg = (
            f"{origin}: not a complete {name!r} to start from: {'; '.join(problems)}; give the file of this "
            "architecture with all its layers, or start from scratch (weights: null, pre_trained: false)"
        )
        raise WeightsError(msg)
    network.load_state_dict({key: tensors[key] for key in state})
