"""Loading weights into anomalib's feature extractor, strictly for the layers it uses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from extensions.backbones.errors import WeightsError
from extensions.backbones.key_maps import KEY_MAPS
from extensions.backbones.matching import Match, Wanted, match_names
from extensions.backbones.resolve import ResolvedWeights, resolve_weights
from extensions.backbones.tensors import read_tensors
from extensions.backbones.transformer_files import as_timm_loads
from extensions.backbones.transformers import is_transformer

if TYPE_CHECKING:
    import torch
    from anomalib.models.components.feature_extractors import TimmFeatureExtractor
    from torch import nn


def load_backbone_weights(
    extractor: TimmFeatureExtractor, backbone: str, weights: str | Path | None = None
) -> ResolvedWeights:
    """Load the backbone's weights into the extractor; every tensor its layers need must be in the file.

    Tensors of deeper layers and of a classifier may lack or be there. Names may have a prefix (`module.`, `model.`
    ...) and stand nested under `state_dict` or the like.

    Args:
        extractor: Built from the backbone's name with `pre_trained=False`.
        backbone: The name whose weights are looked for.
        weights: A file of one's own instead.

    Raises:
        WeightsNotFoundError: No weights in any of the places.
        WeightsError: The file does not fit: missing or unexpected names, wrong shapes, a wrong checksum, a file that
            holds other objects than tensors. The extractor is unchanged.
    """
    import torch

    resolved = resolve_weights(backbone, weights)
    if resolved.path is None:
        message = f"weights of {backbone!r} ({resolved.source}) have no file to load"
        raise WeightsError(message)
    tensors = read_tensors(resolved.path)
    network = inner_network(extractor.feature_extractor)
    wanted = wanted_names(extractor, network)
    match = _match(tensors, wanted, resolved, backbone)
    state = network.state_dict()
    shapes = _other_shapes(match, tensors, state)
    if is_transformer(backbone) and (match.missing or match.unexpected or shapes):
        tensors = as_timm_loads(tensors, network, prefix=match.prefixes[0] if len(match.prefixes) == 1 else "")
        match = _match(tensors, wanted, resolved, backbone)
        shapes = _other_shapes(match, tensors, state)
    _raise_if_unfit(match, shapes, wanted, resolved, backbone, list(map(str, extractor.layers)))
    with torch.no_grad():
        network.load_state_dict({n: tensors[k] for n, k in match.names.items() if n not in shapes}, strict=False)
    return resolved


def _other_shapes(
    match: Match, tensors: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]
) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Found and expected shape of each tensor whose shape differs."""
    return {
        name: (tuple(tensors[key].shape), tuple(state[name].shape))
        for name, key in match.names.items()
        if tensors[key].shape != state[name].shape
    }


def inner_network(feature_extractor: nn.Module) -> nn.Module:
    """The network that has the architecture's own names, without timm's wrapper around it."""
    children = dict(feature_extractor.named_children())
    return next((children[name] for name in ("body", "model") if list(children) == [name]), feature_extractor)


def wanted_names(extractor: TimmFeatureExtractor, network: nn.Module) -> Wanted:
    """The network's tensors, and which of them the extractor's layers need."""
    if getattr(extractor, "_uses_intermediates", False):
        layers = [extractor.feature_extractor.feature_info[index]["module"] for index in extractor.idx]
    else:
        layers = list(extractor.feature_extractor.feature_info.module_name())
    children = dict(network.named_children())
    # stages that timm left inside one container (`blocks.3`); the others it has flattened (`stages_3`) and cut
    deepest: dict[str, int] = {}
    for container, number in (layer.split(".")[:2] for layer in layers if "." in layer):
        if container in children and number.isdigit():
            deepest[container] = max(deepest.get(container, 0), int(number))
    return Wanted.of(network.state_dict(), deepest)


def _match(tensors: dict[str, torch.Tensor], wanted: Wanted, resolved: ResolvedWeights, backbone: str) -> Match:
    """Pair the file's names with the network's; the key map's renamed ones if they fit better."""
    original = match_names({key: key for key in tensors}, wanted)
    if resolved.key_map is None or not original.missing:
        return original
    arch = backbone.split(".", 1)[0]
    stripped = {key.removeprefix("module."): key for key in tensors}
    renamed = match_names(KEY_MAPS[resolved.key_map](stripped, arch), wanted)
    return renamed if len(renamed.names) > len(original.names) else original


def _raise_if_unfit(
    match: Match,
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]],
    wanted: Wanted,
    resolved: ResolvedWeights,
    backbone: str,
    layers: list[str],
) -> None:
    """One sentence with everything that does not fit."""
    start = f"{resolved.path}: not the weights of backbone {backbone!r} with layers {', '.join(layers)}"
    if len(match.prefixes) > 1:
        message = (
            f"{start}: holds {len(match.prefixes)} networks, under {', '.join(map(repr, match.prefixes))}; "
            "save the one that is meant"
        )
        raise WeightsError(message)
    problems = []
    if match.missing:
        problems.append(f"missing {_some(match.missing)}")
    if match.unexpected:
        problems.append(f"unexpected {_some(match.unexpected)}")
    if wrong := {name: shape for name, shape in shapes.items() if name in wanted.required}:
        shown = [f"{name} (found {found}, expected {expected})" for name, (found, expected) in wrong.items()]
        problems.append(f"wrong shape {_some(shown)}")
    if not problems:
        return
    if not match.names:
        remedy = "no name fits: give the architecture these weights are of, or rename them by a key_map in the manifest"
    elif resolved.layers is not None and match.missing:
        remedy = f"the manifest says the file covers only {', '.join(resolved.layers)}: choose among these layers, or "
        remedy += "give a complete file as `weights`"
    else:
        remedy = "give the architecture these weights are of, or a complete file"
    message = f"{start}: {'; '.join(problems)}; {remedy}"
    raise WeightsError(message)


def _some(items: list[str]) -> str:
    return f"{len(items)} tensors: {', '.join(items[:3])}{', ...' if len(items) > 3 else ''}"
