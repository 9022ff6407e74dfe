"""What may be tried of an argument, for a detector and on a machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmark.plan.experiment import constructor_defaults


def _class_of(class_path: str) -> type:
    from extensions.configuration.classes import import_class, known_classes, resolve_class_path

    return import_class(resolve_class_path(class_path, "model"), "model", known_classes("model"))


def own_strides(class_path: str) -> list[int]:
    """Those of the layers that a detector takes by itself."""
    return list(getattr(_class_of(class_path), "reductions", ()))


def distinct_poolings(model: dict[str, Any], values: Sequence[Any], default: Any) -> list[Any]:
    """Each way to score once: what a detector does by itself has a name, too, such as the maximum of PaDiM."""
    name_of = getattr(_class_of(model["class_path"]), "pooling_in", lambda arguments: arguments["score_pooling"])
    found: dict[Any, Any] = {}
    for value in (default, *values):
        found.setdefault(name_of({**(model.get("init_args") or {}), "score_pooling": value}), value)
    return [value for value in values if value in found.values()]


def stride_ranges(strides: Sequence[int]) -> list[list[int]]:
    """All ranges of strides, such as 4 and 8 of 4, 8 and 16."""
    n = len(strides)
    return [list(strides[i:j]) for i in range(n) for j in range(n, i, -1)]


def as_strides(model: dict[str, Any], layers: Sequence[str] | None) -> Any:
    """Layers by their strides, which mean the same on every backbone; by name where one is not the last at its own."""
    from extensions.backbones import default_layers, layer_table

    if layers is None:
        return own_strides(model["class_path"])
    arguments = constructor_defaults(model["class_path"], "model") | (model.get("init_args") or {})
    backbone = str(arguments["backbone"])
    try:
        strides = sorted({layer.reduction for layer in layer_table(backbone) if layer.name in layers})
        is_last = list(default_layers(backbone, reductions=strides)) == list(layers)
    except ValueError:  # the default trial will say so
        return list(layers)
    return strides if is_last else list(layers)


def at_hand(backbones: Sequence[str], left_out: list[str]) -> list[Any]:
    """Those whose weights need no download."""
    from extensions.backbones.manifest import row_for
    from extensions.backbones.resolve import ResolvedWeights, from_folder, from_package

    found: list[Any] = []
    for name in backbones:
        row = row_for(name)
        if any(isinstance(place(name, row), ResolvedWeights) for place in (from_folder, from_package)):
            found.append(name)
        else:
            left_out.append(f"{name} is not tried: its weights are not on this machine (space: {{backbone: […]}} asks)")
    return found
