"""What is wrong with a benchmark configuration, found before anything is run: one sentence each."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from benchmark.log import check_log
from benchmark.plan.augmentation import is_augmenting
from benchmark.plan.ensembles import read_ensembles
from benchmark.plan.experiment import MEMBERS, Experiment
from benchmark.plan.placeholders import check_placeholders
from benchmark.statistics.requirement import Requirement, read_requirement
from extensions.configuration import ConfigError, check_data, check_model
from extensions.configuration.errors import did_you_mean
from extensions.configuration.trainer import check_trainer
from extensions.configuration.variants import check_mapping
from extensions.refinement.plan import Plan

KEYS = (
    "name",
    "models",
    "backbones",
    "data",
    "refinement",
    "augmentation",
    "seeds",
    "trainer",
    "keep",
    "images",
    "log",
    "resources",
    "requirement",
    "ensembles",
)
OF_TUNE = ("validation", "space")
MAX_SEED = 2**32 - 1
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
_Entry = dict[str, Any] | None


def _is_folder_name(name: Any) -> Any:
    """It names the folder of the results and the file of the plan."""
    if name is not None and (not str(name).strip(". ") or PurePath(str(name)).name != str(name)):
        raise ValueError
    return name


_SECTIONS: dict[str, tuple[Any, str]] = {
    "keep": (Literal["best", "all", "none"], "one of best, all, none"),
    "images": (Annotated[int, Field(ge=0)] | None, "how many of each kind to draw, such as missed defects; 0 for none"),
    "refinement": (
        Annotated[list[_Entry], Field(min_length=1)] | None,
        "a list such as [null, {strategy: consensus}]; null refines not",
    ),
    "augmentation": (
        _Entry | Annotated[list[_Entry | list[Any]], Field(min_length=1)],
        "such as {name: rotation, where: tta} or a list of those; null augments nothing",
    ),
    "name": (Annotated[Any, AfterValidator(_is_folder_name)], "a name for a folder, without '/'"),
    "seeds": (list[Seed] | None, "a list of whole numbers from 0 on such as [0, 1, 2]"),
    "backbones": (list[Any] | None, "a list such as [resnet18]"),
}
"""Of each key what it may hold, as a type and in words."""
_RESOURCES: dict[str, tuple[Any, str]] = {
    "cpus": (Annotated[int, Field(ge=1)], "a whole number from 1 on"),
    "gpus": (
        Annotated[float, Field(ge=0, lt=1)] | Annotated[float, Field(ge=1, multiple_of=1, allow_inf_nan=False)],
        "a whole number, or a part of one GPU such as 0.5",
    ),
}


def check_config(config: dict[str, Any]) -> None:
    """Check the keys of the document and the form of their values.

    Raises:
        ConfigError: An unknown key or a value of another form.
    """
    for key in config:
        if key in OF_TUNE:
            msg = f"{key}: is for `tune`, which searches for settings; `run` takes the best.yaml that it writes"
            raise ConfigError(msg)
        if key not in KEYS:
            near = did_you_mean(str(key), KEYS)
            msg = f"unknown key {key!r} in a benchmark configuration, expected one of {', '.join(KEYS)}{near}"
            raise ConfigError(msg)
    for key in ("models", "data"):
        if not isinstance(config.get(key), list) or not config[key]:
            msg = f"a benchmark configuration needs a list {key!r} with at least one entry, found {config.get(key)!r}"
            raise ConfigError(msg)
    for key in config.keys() & _SECTIONS.keys():
        _check_type(key, config[key], *_SECTIONS[key])
    for entry in config.get("backbones") or []:
        if not isinstance(entry.get("backbone") if isinstance(entry, dict) else entry, str):
            msg = f"backbones: found {entry!r}, expected a name or 'backbone: NAME' with layers or weights beside it"
            raise ConfigError(msg)
    check_mapping(config.get("trainer"), "trainer")
    check_resources(config.get("resources"))
    check_log(config.get("log"))
    requirement_of(config)
    read_ensembles(config.get("ensembles"))


def requirement_of(config: dict[str, Any]) -> Requirement | None:
    """What the document requires of every detector; None where nothing is.

    Raises:
        ConfigError: A requirement that cannot be.
    """
    try:
        return read_requirement(config.get("requirement"))
    except ValueError as error:
        raise ConfigError(str(error)) from error


def check_fitted_on(requirement: Requirement | None, experiments: Sequence[Experiment]) -> None:
    """Thresholds come from training images scored in folds or from calibration images, not from both.

    Raises:
        ConfigError: Both are asked for.
    """
    if requirement is None or requirement.cross_conformal is None:
        return
    for experiment in experiments:
        if folder := (experiment.data.get("init_args") or {}).get("calibration_dir"):
            msg = (
                f"requirement: cross_conformal is {requirement.cross_conformal} and calibration_dir {str(folder)!r}; "
                "expected one of the two, for thresholds are fitted on training images or on those: leave one out"
            )
            raise ConfigError(msg)
        members = (experiment.model.get("init_args") or {}).get(MEMBERS)
        if kept := [str(one) for one in members if not isinstance(one, dict)] if isinstance(members, list) else []:
            msg = (
                f"requirement: cross_conformal is {requirement.cross_conformal} and {kept[0]!r} a member of an "
                "ensemble; expected members that can be fitted without a fold, and a kept run has seen all images: "
                "describe it by class_path and init_args"
            )
            raise ConfigError(msg)


def check_seed(value: Any) -> int:
    """A whole number that every library takes as a seed; 0 for None.

    Raises:
        ConfigError: It is none.
    """
    _check_type("seed", value, Seed | None, f"a whole number from 0 to {MAX_SEED}")
    return value or 0


def check_seeds(value: Any) -> tuple[int, ...]:
    """The seeds of a grid, or of one of its models.

    Raises:
        ConfigError: They are no list of whole numbers.
    """
    _check_type("seeds", value, *_SECTIONS["seeds"])
    return tuple(value)


def _check_type(name: str, value: Any, kind: Any, expected: str) -> None:
    try:
        TypeAdapter(kind, config=ConfigDict(strict=True)).validate_python(value)
    except ValidationError as error:
        msg = f"{name}: found {value!r}, expected {expected}"
        raise ConfigError(msg) from error


def check_resources(value: Any) -> dict[str, float]:
    """What a run reserves where Ray carries it out: whole CPUs, and whole GPUs or a part of one.

    Raises:
        ConfigError: An unknown name, or a number that cannot be reserved.
    """
    for name, number in check_mapping(value, "resources").items():
        if name not in _RESOURCES:
            near = did_you_mean(name, _RESOURCES)
            msg = f"resources: unknown name {name!r}, expected one of {', '.join(_RESOURCES)}{near}"
            raise ConfigError(msg)
        _check_type(f"resources: {name}", number, *_RESOURCES[name])
    return value or {}


def check_one_device(trainer: dict[str, Any]) -> None:
    """A recorded run uses one device: Lightning would start the whole sweep again for each further one, and wait.

    Raises:
        ConfigError: Several devices or machines are asked for.
    """
    devices, n_nodes = trainer.get("devices", 1), trainer.get("num_nodes", 1)
    if (devices in (1, "1") or (isinstance(devices, list) and len(devices) == 1)) and n_nodes in (1, "1"):
        return
    name, found = ("devices", devices) if n_nodes in (1, "1") else ("num_nodes", n_nodes)
    msg = (
        f"trainer.{name}: found {found!r}, expected 1, for a recorded run uses one device; spread runs by --executor, "
        "or train over several devices by `python -m extensions train` without --record (docs/scale.md)"
    )
    raise ConfigError(msg)


def check_callbacks(trainer: dict[str, Any]) -> None:
    """A callback that augments stands in a section of its own: what it changes must not come from the cache.

    Raises:
        ConfigError: There is one among the trainer's, or one that records what is recorded here anyway.
    """
    for spec in trainer.get("callbacks") or []:
        if str(spec.get("class_path") if isinstance(spec, dict) else spec).rsplit(".", 1)[-1] == "Record":
            msg = "trainer.callbacks: Record records a run of anomalib's Engine, and a benchmark's are; remove it here"
            raise ConfigError(msg)
        if is_augmenting(spec):
            msg = "trainer.callbacks: in a benchmark, Augmentation stands under 'augmentation:' with its arguments"
            raise ConfigError(msg)


def check_experiments(experiments: Sequence[Experiment]) -> list[Experiment]:
    """The experiments without repetitions, every class and argument of them known; nothing is built.

    Raises:
        ConfigError: An unknown class, argument, backbone or trainer setting, or two experiments whose records could
            not be told apart.
    """
    for experiment in experiments:
        _check_finite({"model": experiment.model, "data": experiment.data, "trainer": experiment.trainer})
        _check_finite({"refinement": experiment.refinement})
        _ = experiment.augmentations  # raises
    for spec in _distinct(experiment.model for experiment in experiments):
        check_placeholders(spec.get("init_args"))
        check_model(spec)
        _check_backbone(spec)
        _check_members(spec)
    for spec in _distinct(experiment.data for experiment in experiments):
        check_data(spec)
    for trainer in _distinct(experiment.trainer for experiment in experiments):
        check_trainer(trainer)
        check_one_device(trainer)
        check_callbacks(trainer)
    for section in _distinct(experiment.refinement or {} for experiment in experiments):
        plan = Plan.from_config(section)
        if plan.backbone is not None:
            _check_backbone({"class_path": "extensions.refinement", "init_args": {"backbone": plan.backbone}})
    found: dict[str, Experiment] = {}
    for experiment in experiments:
        twin = found.setdefault(experiment.experiment_id, experiment)
        if _paths(twin) != _paths(experiment):
            here, there = (
                sorted(_paths(one) - _paths(other)) for one, other in ((twin, experiment), (experiment, twin))
            )
            msg = (
                f"two experiments differ only in the folders of {', '.join(here)} and {', '.join(there)}, which "
                "records do not keep; give the files other names, or the data sets other values of 'name'"
            )
            raise ConfigError(msg)
    return list(found.values())


def _check_finite(value: Any, where: str = "") -> None:
    """NaN and infinity (.nan, .inf) are no setting, and no record can hold them."""
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            _check_finite(part, f"{where}.{key}" if where else str(key))
    elif isinstance(value, float) and not math.isfinite(value):
        msg = f"{where}: found {value}, expected a finite number"
        raise ConfigError(msg)


def _check_backbone(spec: dict[str, Any]) -> None:
    """The models of others may give this argument another meaning."""
    from extensions.backbones import check_backbone

    backbone = (spec.get("init_args") or {}).get("backbone")
    if isinstance(backbone, str) and spec["class_path"].startswith("extensions."):
        try:
            check_backbone(backbone)
        except ValueError as error:
            raise ConfigError(str(error)) from error


def _check_members(spec: dict[str, Any]) -> None:
    """Each member of an ensemble is checked as a model of its own would be; nothing is built."""
    members = (spec.get("init_args") or {}).get(MEMBERS)
    for place, member in enumerate(members if isinstance(members, list) else []):
        if not isinstance(member, dict):
            continue
        alone = {key: value for key, value in member.items() if key != "trainer"}
        trainer = check_mapping(member.get("trainer"), f"{MEMBERS}[{place}].trainer")
        try:
            check_model(alone)
            _check_backbone({"init_args": {}, **alone})
            check_trainer(trainer)
            check_one_device(trainer)
            check_callbacks(trainer)
        except ConfigError as error:
            msg = f"{MEMBERS}[{place}]: {error}"
            raise ConfigError(msg) from error


def _distinct(specs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({json.dumps(spec, sort_keys=True, default=str): spec for spec in specs}.values())


def _paths(experiment: Experiment) -> set[str]:
    """Every text in the arguments that may be a path with folders."""

    def texts(value: Any) -> Iterable[str]:
        if isinstance(value, dict | list):
            for part in value.values() if isinstance(value, dict) else value:
                yield from texts(part)
        elif isinstance(value, str) and "/" in value:
            yield value

    return set(texts([experiment.model, experiment.data]))
