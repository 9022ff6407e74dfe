"""In which arguments experiments differ that would read the same: what a table or a line says to tell them apart."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from benchmark.plan.experiment import constructor_defaults
from benchmark.records.canonical_experiment import CATEGORY, is_location
from extensions.data.joint_training import TESTED, training_of

_SECTIONS = ("model", "trainer", "data", "refinement", "augmentation")
_UNTOLD = frozenset({*CATEGORY, "num_workers", "max_memory_bytes", *TESTED})
_MOST = 80  # characters of a value

Argument = tuple[str, str]
"""Section of an experiment and name in it."""


def labels(
    settings: Sequence[str], experiments: Sequence[Mapping[str, Any]], *, alike: Sequence[Hashable]
) -> list[str]:
    """Settings of each experiment, completed by the arguments in which those that read alike differ.

    Args:
        settings: Of each, such as ``num_neighbors=9``.
        experiments: Canonical ones, see `benchmark.plan.experiment.Experiment.canonical`.
        alike: What else a reader sees of each, such as model, backbone and data set.
    """
    groups: dict[Hashable, list[int]] = {}
    for place, key in enumerate(zip(alike, settings, strict=True)):
        groups.setdefault(key, []).append(place)
    found = list(settings)
    for places in groups.values():
        extra = differences([experiments[place] for place in places])
        for place, text in zip(places, extra, strict=True):
            found[place] = ", ".join(filter(None, [found[place], text]))
    return found


def differences(experiments: Sequence[Mapping[str, Any]]) -> list[str]:
    """Such as ``image_size=128`` and ``image_size=256``: of each experiment the arguments in which they differ.

    An argument that one of them leaves out is told by its default. Seeds tell no experiments apart, and folders only
    where nothing else does.

    Args:
        experiments: Canonical ones; with fewer than two there is nothing to tell.
    """
    if len(experiments) < 2:
        return [""] * len(experiments)
    told = [_arguments(experiment) for experiment in experiments]
    names = [name for name in dict.fromkeys(n for one in told for n in one) if name[1] not in _UNTOLD]
    completed = [{name: one[name] if name in one else _default(e, name) for name in names} for one, e in
                 zip(told, experiments, strict=True)]  # fmt: skip
    differing = [name for name in names if len({_text(one[name]) for one in completed}) > 1]
    folders = [name for name in differing if is_location(name[1])]
    telling = [name for name in differing if name not in folders]
    if folders and len({tuple(_text(one[name]) for name in telling) for one in completed}) < len(experiments):
        telling += folders
    n_sections = {name: sum(other[1] == name[1] for other in telling) for name in telling}
    return [
        ", ".join(
            f"{name[1] if n_sections[name] == 1 else '.'.join(name)}={_text(one[name])}"
            for name in telling
            if one[name] is not None
        )
        for one in completed
    ]


def _arguments(experiment: Mapping[str, Any]) -> dict[Argument, Any]:
    """All arguments of an experiment by section and name."""
    found: dict[Argument, Any] = {}
    for section in _SECTIONS:
        content = experiment.get(section) or {}
        if isinstance(content, list):  # augmentations
            found[section, section] = content
        elif "class_path" in content:
            found[section, "class_path"] = content["class_path"]
            arguments = content.get("init_args") or {}
            found |= {(section, name): value for name, value in arguments.items()}
            found |= {(section, "training"): training_of(arguments)} if section == "data" else {}
        else:
            found |= {(section, name): value for name, value in content.items()}
    return found


def _default(experiment: Mapping[str, Any], name: Argument) -> Any:
    """Of an argument that is not given; None where it is not known or says nothing."""
    section, argument = name
    class_path = (experiment.get(section) or {}).get("class_path") if section in ("model", "data") else None
    value = constructor_defaults(class_path, section).get(argument) if class_path else None
    return value if isinstance(value, str | int | float | list | tuple) else None


def _text(value: Any) -> str:
    """A value in one line; of what is built from a class, its name and arguments."""
    if isinstance(value, list | tuple):
        return "[" + " ".join(_text(item) for item in value) + "]"
    if isinstance(value, dict) and "class_path" in value:
        arguments = ", ".join(f"{name}={_text(item)}" for name, item in (value.get("init_args") or {}).items())
        text = f"{str(value['class_path']).rsplit('.', 1)[-1]}({arguments})"
    else:
        text = str(value)
    return text if len(text) <= _MOST else text[: _MOST - 1] + "…"
