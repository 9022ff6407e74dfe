"""The feature layers of a backbone: their names, channels and strides."""

from __future__ import annotations

import difflib
import logging
import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from extensions.backbones.registry import architecture
from extensions.backbones.transformers import is_plain, is_transformer
from extensions.backbones.without_memory import build_without_memory

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
    """The last layer at each of these strides; of a transformer of one stride the block at the same part of its depth.

    A ResNet's stages end at strides 4, 8, 16 and 32, so that of 12 blocks the third, sixth, ninth and last stand for
    them. SuperADD takes these quarters of a DINOv3-L (as anomalib 2.7's `super_add` has it), and Dinomaly the blocks
    from the third to the tenth of 12 (Guo et al. 2025, https://arxiv.org/abs/2405.14325). AnomalyDINO takes the last
    alone (Damm et al. 2025, https://arxiv.org/abs/2405.14529): name it as the layer.

    Raises:
        ValueError: The backbone has no layer at one of the strides: the layers must be chosen by hand.
    """
    table = layer_table(backbone)
    if is_plain(backbone):
        quarters = [round(math.log2(reduction)) - 1 for reduction in sorted(reductions)]
        places = [min(max(round(len(table) * quarter / 4), 1), len(table)) for quarter in quarters]
        return tuple(dict.fromkeys(table[place - 1].name for place in places))
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
    if is_transformer(name):
        info = build_without_memory(name, dynamic_img_size=True).feature_info
        return tuple(Layer(entry["module"], entry["num_chs"], entry["reduction"]) for entry in info)
    # anomalib takes every name with these three letters for a plain vision transformer
    if "vit" in name.lower():
        message = (
            f"backbone {name!r} cannot be used: anomalib takes every name with 'vit' in it for a plain vision "
            "transformer, which this is not; choose another architecture"
        )
        raise ValueError(message)
    try:
        info = build_without_memory(name, features_only=True).feature_info.info
    except Exception as error:  # timm raises RuntimeError, AttributeError, AssertionError or TypeError here
        message = f"backbone {name!r} gives no feature maps in timm ({type(error).__name__}: {error}); choose another"
        raise ValueError(message) from error
    return tuple(Layer(entry["module"], entry["num_chs"], entry["reduction"]) for entry in info)
