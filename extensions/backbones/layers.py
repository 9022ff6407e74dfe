"""The feature layers of a backbone: their names, channels and strides."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from extensions.backbones.registry import architecture

if TYPE_CHECKING:
    from torch import nn

logger = logging.getLogger(__name__)


class Layer(NamedTuple):
    """One feature map a backbone can give.

    Args:
        name: As anomalib's `layers` take it.
        channels: Channels of the map.
        reduction: Stride: input pixels per map pixel, in each direction.
    """

    name: str
    channels: int
    reduction: int


def layer_table(backbone: str) -> tuple[Layer, ...]:
    """All feature layers, from the input to the output; no weights are needed and no memory is taken.

    Raises:
        ValueError: The backbone is unknown, or gives no feature maps.
    """
    return _layer_table(architecture(backbone))


def check_layers(backbone: str, layers: Sequence[str]) -> tuple[str, ...]:
    """Return the layers in the order in which the network computes them, which is the order anomalib needs.

    Raises:
        ValueError: No layer, a layer named twice, or one the backbone does not have; the message lists the right ones.
    """
    layers = (layers,) if isinstance(layers, str) else tuple(layers)
    table = layer_table(backbone)
    known = [layer.name for layer in table]
    if not layers:
        message = f"no layers given for backbone {backbone!r}; choose from {_describe(table)}"
        raise ValueError(message)
    if unknown := [layer for layer in layers if layer not in known]:
        near = difflib.get_close_matches(str(unknown[0]), known, n=1)
        hint = f" (nearest: {near[0]})" if near else ""
        message = f"backbone {backbone!r} has no layer {str(unknown[0])!r}{hint}; choose from {_describe(table)}"
        raise ValueError(message)
    if len(set(layers)) < len(layers):
        message = f"layers {list(layers)} of backbone {backbone!r}: one is named twice; name each layer once"
        raise ValueError(message)
    ordered = tuple(sorted(layers, key=known.index))
    if ordered != layers:
        logger.info("layers of %s put in the network's order: %s", backbone, ", ".join(ordered))
    return ordered


def default_layers(backbone: str, *, reductions: Sequence[int] = (8, 16)) -> tuple[str, ...]:
    """The last layer at each of these strides.

    Raises:
        ValueError: The backbone has no layer at one of the strides: the layers must be chosen by hand.
    """
    table = layer_table(backbone)
    at = {layer.reduction: layer.name for layer in table}  # a later layer at the same stride replaces an earlier one
    if missing := [reduction for reduction in reductions if reduction not in at]:
        message = (
            f"backbone {backbone!r} has no layer at stride {missing[0]}, which is used by default; "
            f"set `layers` from {_describe(table)}"
        )
        raise ValueError(message)
    return tuple(at[reduction] for reduction in sorted(reductions))


def _describe(table: Sequence[Layer]) -> str:
    shown = [f"{layer.name} ({layer.channels} channels, stride {layer.reduction})" for layer in table]
    return ", ".join(shown if len(shown) <= 8 else [*shown[:2], "...", *shown[-2:]])


@cache
def _layer_table(name: str) -> tuple[Layer, ...]:
    # anomalib takes every name with these three letters for a plain vision transformer
    if "vit" in name.lower():
        return _transformer_table(name)
    try:
        net = _build_without_memory(name, features_only=True)
        info = net.feature_info.info
    except Exception as error:  # timm raises RuntimeError, AttributeError, AssertionError or TypeError here
        message = f"backbone {name!r} gives no feature maps in timm ({type(error).__name__}: {error}); choose another"
        raise ValueError(message) from error
    return tuple(Layer(entry["module"], entry["num_chs"], entry["reduction"]) for entry in info)


def _transformer_table(name: str) -> tuple[Layer, ...]:
    net = _build_without_memory(name)
    if not all(hasattr(net, part) for part in ("blocks", "patch_embed", "forward_intermediates")):
        message = (
            f"backbone {name!r} cannot be used: anomalib takes every name with 'vit' in it for a plain vision "
            "transformer, which this is not; choose another architecture"
        )
        raise ValueError(message)
    return tuple(
        Layer(f"blocks.{index}", net.num_features, net.patch_embed.patch_size[0]) for index in range(len(net.blocks))
    )


def _build_without_memory(name: str, **arguments: bool) -> nn.Module:
    """The network on torch's meta device: shapes without values."""
    import timm
    import torch

    with torch.random.fork_rng(devices=[]):  # looking must not change what a seed gives
        try:
            with torch.device("meta"):
                return timm.create_model(name, pretrained=False, **arguments)
        except (NotImplementedError, RuntimeError):  # some constructors compute with values, which meta tensors lack
            return timm.create_model(name, pretrained=False, **arguments)
