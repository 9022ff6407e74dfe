"""What a trained model was built with, beside what a model at hand was built with."""

import inspect
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from extensions.configuration.differences import in_one_line

COMPONENTS = frozenset({"pre_processor", "post_processor", "evaluator", "visualizer"})
OFF = "none"  # a model without pre-processor


def compared(kind: type[Any]) -> dict[str, Any]:
    """Init arguments of a model's class that a checkpoint may not differ in, with their defaults.

    All but components and those that `only_for_fit` and `only_at_use` of the class and its parents name.
    """
    free = (vars(parent).get(name, ()) for parent in kind.__mro__ for name in ("only_for_fit", "only_at_use"))
    ignored = COMPONENTS.union({"self"}, *free)
    parameters = inspect.signature(kind.__init__).parameters
    return {name: parameter.default for name, parameter in parameters.items() if name not in ignored}


def differences(kind: type, own: Mapping[str, Any], stored: Mapping[str, Any] | None) -> dict[str, tuple[Any, Any]]:
    """Init arguments that decide scores and differ: by name the checkpoint's value and the model's.

    Args:
        kind: Class of the model.
        own: Init arguments of the model at hand.
        stored: Those in the checkpoint. What it does not hold is taken for the default: the argument was not there yet.
            None, of a checkpoint without any, differs in nothing.
    """
    if not stored:
        return {}
    pairs = {
        name: (_plain(stored.get(name, default)), _plain(own[name]))
        for name, default in compared(kind).items()
        if name in own
    }
    return {name: pair for name, pair in pairs.items() if not _is_same(*pair)}


def told(found: Mapping[str, tuple[Any, Any]]) -> str:
    """The differences in one sentence, with what to do."""
    stored, own = (", ".join(f"{name}={pair[side]!r}" for name, pair in found.items()) for side in (0, 1))
    return f"The checkpoint is of {stored}, the model of {own}: build it with {stored}."


def pre_processing(pre_processor: Any) -> str | None:
    """How a model at hand pre-processes images; None when nothing is known of it."""
    from anomalib.pre_processing.utils.spec import spec_to_transform, transform_to_spec

    if pre_processor is None:
        return OFF
    if not hasattr(pre_processor, "transform"):
        return None
    try:  # as it comes back from a checkpoint, which spells some settings in another way
        return in_one_line(spec_to_transform(transform_to_spec(pre_processor.transform)))
    except ValueError:
        return in_one_line(pre_processor.transform)


def stored_pre_processing(checkpoint: Mapping[str, Any]) -> str | None:
    """How the model in a checkpoint pre-processes images, as `pre_processing` says it; None when it does not tell."""
    from anomalib.pre_processing.utils.spec import spec_to_transform

    if "unstored_transform" in checkpoint:
        return str(checkpoint["unstored_transform"])
    if not checkpoint.get("anomalib_components_enabled", {}).get("pre_processor", True):
        return OFF
    config = checkpoint.get("anomalib_pre_processor_config")
    return in_one_line(spec_to_transform(config["transform"])) if config and "transform" in config else None


def _plain(value: Any) -> Any:
    """As a checkpoint may hold it: lists, texts and numbers."""
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value


def _is_same(one: Any, other: Any) -> bool:
    """Whether they mean the same; a number stands for a pair of it, as for height and width."""
    if isinstance(one, list) != isinstance(other, list):
        pair, number = (one, other) if isinstance(one, list) else (other, one)
        return bool(pair == [number, number])
    return bool(one == other)
