"""Which settings a search tries: for each init argument of a detector its candidate values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from benchmark.plan.experiment import constructor_defaults
from benchmark.tune.candidates import as_strides, at_hand, distinct_poolings, own_strides, stride_ranges
from extensions.configuration import ConfigError
from extensions.configuration.errors import did_you_mean

CANDIDATES: dict[str, tuple[Any, ...]] = {
    "backbone": ("resnet18", "resnet50_caffe.msra", "tf_efficientnet_lite0"),
    "image_size": (128, 192, 256, 320, 384),
    "center_crop": (None, 0.875),
    "layers": (),
    "neighborhood": (1, 3, 5),
    "coreset_sampling_ratio": (0.01, 0.03, 0.1),
    "num_neighbors": (1, 9),
    "score_pooling": (None, "max", "top_1%"),
}
"""By argument what is tried where a configuration says nothing else, of the detectors that take it.

`center_crop` is a share of `image_size`, `layers` are strides (none: the ranges of those that the detector takes by
itself). A line here is all that another argument needs.
"""
_TIED_TO_BACKBONE = ("weights", "registration")
MULTIPLE = 8  # px that a crop is a multiple of
Choice = str | int | float | bool | None


@dataclass(frozen=True)
class Dimension:
    """One argument and what is tried of it.

    Attributes:
        name: Of the init argument.
        values: Candidates, that of the default among them.
        default: Index of the default's among them.
    """

    name: str
    values: tuple[Any, ...]
    default: int

    @property
    def choices(self) -> list[Choice]:
        """The candidates as Optuna keeps them: a list as its JSON text."""
        return [encoded(value) for value in self.values]


@dataclass(frozen=True)
class Space:
    """All settings that are tried of one detector.

    Attributes:
        model: `class_path` and `init_args` as configured: the default, and what is not tried.
        dimensions: What is tried.
    """

    model: dict[str, Any]
    dimensions: tuple[Dimension, ...]

    @property
    def n_settings(self) -> int:
        """How many settings there are."""
        return prod(len(one.values) for one in self.dimensions)

    @property
    def default(self) -> dict[str, Choice]:
        """The choices that stand for the model as configured."""
        return {one.name: one.choices[one.default] for one in self.dimensions}

    def at(self, choices: Mapping[str, Choice]) -> dict[str, Any]:
        """The model with these choices, in the dialect of a configuration; for those of the default as configured.

        Raises:
            ValueError: The backbone has no layer at one of the strides.
        """
        if dict(choices) == self.default:
            return self.model
        settings = {one.name: one.values[one.choices.index(choices[one.name])] for one in self.dimensions}
        own = self.model.get("init_args") or {}
        arguments = {**own, **{name: value for name, value in settings.items() if value is not None or name in own}}
        known = constructor_defaults(self.model["class_path"], "model") | arguments
        if "layers" in settings:
            arguments["layers"] = resolved_layers(str(known["backbone"]), settings["layers"])
            if choices["layers"] == self.default["layers"] and own.get("layers") is None:
                del arguments["layers"]  # those that the detector takes by itself
        if settings.get("center_crop") is not None:
            arguments["center_crop"] = resolved_crop(known["image_size"], settings["center_crop"])
        return {**self.model, "init_args": arguments}


def space_of(model: dict[str, Any], given: Mapping[str, Sequence[Any]]) -> tuple[Space, list[str]]:
    """What is tried of a detector, and sentences about what is left out.

    Args:
        model: As configured.
        given: Of the configuration's `space`: by argument the candidates, in place of `CANDIDATES`.

    Raises:
        ConfigError: The detector has nothing that could be tried.
    """
    arguments = constructor_defaults(model["class_path"], "model")
    own = model.get("init_args") or {}
    left_out: list[str] = []
    dimensions = []
    for name in [*CANDIDATES, *(name for name in given if name not in CANDIDATES)]:
        if name not in arguments or (name not in given and _is_bound(name, own)):
            continue
        values: list[Any] = list(given[name]) if name in given else list(CANDIDATES[name])
        if name == "backbone" and name not in given:
            values = at_hand(values, left_out)
        if name == "layers" and name not in given:
            values = stride_ranges(own_strides(model["class_path"]))
        default = default_of(name, own, arguments)
        if name == "layers":
            default = as_strides(model, default)
        if name == "score_pooling":
            values = distinct_poolings(model, values, default)
        if default not in values:
            values.insert(0, default)
        if len(values) > 1:
            dimensions.append(Dimension(name, tuple(values), values.index(default)))
    if not dimensions:
        msg = (
            f"{model['class_path']} has none of the arguments {', '.join(CANDIDATES)} to be tried; name others under "
            "'space', each with a list of candidates"
        )
        raise ConfigError(msg)
    return Space(model, tuple(dimensions)), left_out


def check_space(given: Any, models: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """The configuration's `space`: argument to candidates.

    Raises:
        ConfigError: No mapping of lists, or an argument that none of the detectors has.
    """
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(isinstance(values, list) and values for values in given.values()):
        msg = f"space: found {given!r}, expected arguments with lists of candidates such as {{image_size: [224, 320]}}"
        raise ConfigError(msg)
    known = {name for model in models for name in constructor_defaults(model["class_path"], "model")} - {"self"}
    for name, values in given.items():
        if name not in known:
            msg = f"space: none of the models has an argument {name!r}{did_you_mean(str(name), known)}"
            raise ConfigError(msg)
        shares = [value for value in values if value is not None] if name == "center_crop" else []
        if wrong := [share for share in shares if not isinstance(share, float) or not 0 < share < 1]:
            msg = f"space.center_crop: found {wrong[0]!r}, expected null or shares of image_size such as 0.875"
            raise ConfigError(msg)
    return given


def default_of(name: str, own: Mapping[str, Any], arguments: Mapping[str, Any]) -> Any:
    """A detector's own value of an argument, as the candidates tell it: of a crop its share, of layers as given."""
    value = own.get(name, arguments[name])
    value = list(value) if isinstance(value, tuple) else value
    if name != "center_crop" or value is None:
        return value
    size = own.get("image_size", arguments["image_size"])
    sides = [(one[0] if isinstance(one, list | tuple) else one) for one in (value, size)]
    return round(sides[0] / sides[1], 4)


def encoded(value: Any) -> Choice:
    """A candidate as Optuna keeps it."""
    return value if value is None or isinstance(value, str | int | float | bool) else json.dumps(value)


def resolved_layers(backbone: str, layers: Sequence[int | str] | None) -> list[str] | None:
    """Names of layers; strides become the last layer at each of them."""
    from extensions.backbones import default_layers

    if layers is None or not all(isinstance(layer, int) for layer in layers):
        return None if layers is None else list(map(str, layers))
    return list(default_layers(backbone, reductions=[int(layer) for layer in layers]))


def resolved_crop(image_size: Any, share: float | None) -> Any:
    """Height and width in px of this share of an image, a multiple of 8; None for no crop."""
    if share is None:
        return None
    if isinstance(image_size, list | tuple):
        return [resolved_crop(side, share) for side in image_size]
    return round(image_size * share / MULTIPLE) * MULTIPLE


def _is_bound(name: str, own: Mapping[str, Any]) -> bool:
    """Whether what is configured leaves no choice: weights are those of one backbone, layers are named by it.

    `score: top` of CDO is an older name of a `score_pooling`, beside which it takes no other.
    """
    if name == "score_pooling" and own.get("score", "max") != "max":
        return True
    if name in ("backbone", "layers") and any(own.get(tied) for tied in _TIED_TO_BACKBONE):
        return True
    return name == "image_size" and isinstance(own.get(name), list | tuple)
