"""An experiment: one model, one data set, one trainer setting, one seed; and the names it is known by."""

from __future__ import annotations

import hashlib
import inspect
import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any

from benchmark.records.canonical_experiment import is_location
from benchmark.records.record import PROTOCOL_VERSION

if TYPE_CHECKING:
    from extensions.transforms import AugmentationSettings

_TRAINER_IGNORED = frozenset({
    "accelerator", "devices", "num_nodes", "strategy", "logger", "enable_progress_bar", "enable_model_summary",
    "enable_checkpointing", "default_root_dir", "profiler", "log_every_n_steps", "plugins",
})  # fmt: skip
_ONLY_WATCHING = frozenset({"ReconstructionStrip"})
_DATA_IGNORED = frozenset({"num_workers", "data_root"})
_MODEL_IGNORED = frozenset({"max_memory_bytes"})
MEMBERS = "members"
"""Of an ensemble: detectors as a configuration has them, or kept runs."""
_NOT_SETTINGS = frozenset({"backbone", "layers", "image_size"})
_HANDED_ON = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
# Settings worth a word only when they differ; the last four are what anomalib's command line fills in.
_USUAL = {"center_crop": None, "weights": None, "pre_trained": True} | dict.fromkeys(
    ("pre_processor", "post_processor", "evaluator", "visualizer"), True
)


@dataclass(frozen=True)
class Experiment:
    """What is run, in the configuration dialect of the command line.

    Args:
        model: `class_path` and `init_args` of the model. In their texts `{category}` and `{seed}` stand for those of
            the run, see `model_for`; they stay in the identity, so that a row holds all categories and seeds.
        data: `class_path` and `init_args` of the datamodule.
        trainer: Arguments of the trainer; only those that change a result take part in the identity.
        seed: Seeds everything before the model is built.
        refinement: How training images are refined before the model is kept, see `extensions.refinement.Plan`; None
            trains on all of them.
        augmentation: How images are augmented, see `extensions.transforms.read_augmentation`; None augments nothing,
            and neither does the identity: that run is the plain one.
        resources: `cpus` and `gpus` that a run reserves where Ray carries it out; no part of the identity.
    """

    model: dict[str, Any]
    data: dict[str, Any]
    trainer: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    refinement: dict[str, Any] | None = None
    augmentation: Any = None
    resources: dict[str, float] = field(default_factory=dict)

    @property
    def canonical(self) -> dict[str, Any]:
        """What the result depends on: no device, workers, memory limit, absolute path or argument at its default."""
        told = {
            "model": _spelled_out(self.model, "model", ignored=_MODEL_IGNORED),
            "data": _spelled_out(self.data, "data", ignored=_DATA_IGNORED),
            "trainer": _portable(_unwatched(self.trainer), ignored=_TRAINER_IGNORED),
            "seed": self.seed,
        }
        told |= {} if self.refinement is None else {"refinement": _portable(self._refined)}
        return told | ({"augmentation": [one.told for one in self.augmentations]} if self.augmentations else {})

    @property
    def augmentations(self) -> tuple[AugmentationSettings, ...]:
        """Of training images, of test images, of both, or none.

        Raises:
            ConfigError: An augmentation that cannot be.
        """
        from extensions.transforms.settings import read_augmentation

        return read_augmentation(self.augmentation)

    @property
    def experiment_id(self) -> str:
        """16 hex digits over the canonical experiment, before data and weights are looked at."""
        return _digest(self.canonical)

    def key(self, *, weights_sha256: str | None, data_sha256: str | None) -> str:
        """16 hex digits over the experiment and the content of its weights and data: the record's name.

        Where the data lie plays no part once their content is known.
        """
        canonical = self.canonical
        content: dict[str, Any] = {"weights": weights_sha256, "data": data_sha256, "protocol_version": PROTOCOL_VERSION}
        if data_sha256 is None:
            content["data_arguments"] = canonical["data"]
        elif arguments := {k: v for k, v in canonical["data"]["init_args"].items() if not is_location(k)}:
            content["data_arguments"] = arguments
        return _digest(canonical | content)

    def model_for(self, *, category: str, seed: int) -> dict[str, Any]:
        """The model of one run, `{category}` and `{seed}` in its arguments filled in.

        Raises:
            ConfigError: As `benchmark.plan.placeholders.filled`.
        """
        from benchmark.plan.placeholders import filled

        arguments = self.model.get("init_args")
        return {**self.model, "init_args": filled(arguments, category=category, seed=seed)} if arguments else self.model

    @property
    def model_name(self) -> str:
        """Class name of the model, as in the leaderboard."""
        return str(self.model["class_path"]).rsplit(".", 1)[-1]

    @property
    def backbone(self) -> str:
        """Name of the backbone, that which the model takes when none is given; empty for a model that has none."""
        arguments = self.model.get("init_args") or {}
        given = arguments.get("backbone") or constructor_defaults(self.model["class_path"], "model").get("backbone")
        return given if isinstance(given, str) else ""

    @property
    def settings(self) -> str:
        """What distinguishes this row beside model, backbone, layers and image size, for a person to read."""
        defaults = _USUAL | constructor_defaults(self.model["class_path"], "model")
        arguments = {name: _portable_value(name, v) for name, v in (self.model.get("init_args") or {}).items()}
        untold = {*_NOT_SETTINGS, *_MODEL_IGNORED, *_USUAL}
        if arguments.get("center_crop") is not None:
            untold.remove("image_size")  # what is seen is the crop: only this tells what it was cropped from
        parts = {name: value for name, value in arguments.items() if name not in untold}
        parts |= {MEMBERS: members_told(arguments[MEMBERS])} if isinstance(arguments.get(MEMBERS), list) else {}
        parts |= {name: arguments[name] for name in _USUAL if arguments.get(name, defaults[name]) != defaults[name]}
        parts |= {name: value for name, value in self.trainer.items() if name not in _TRAINER_IGNORED | {"callbacks"}}
        parts |= {} if self.refinement is None else self._refined
        parts |= {"augmentation": " + ".join(map(str, self.augmentations))} if self.augmentations else {}
        return ", ".join(f"{name}={_in_words(value)}" for name, value in parts.items())

    @property
    def _refined(self) -> dict[str, Any]:
        from extensions.refinement.plan import Plan

        return Plan.from_config(self.refinement).differing


def constructor_defaults(class_path: str, role: str) -> dict[str, Any]:
    """Arguments of the constructor with their defaults; empty for a class that cannot be imported (its run says so).

    Args:
        class_path: As in a configuration.
        role: `model` or `data`.
    """
    from extensions.configuration import ConfigError
    from extensions.configuration.classes import import_class, known_classes, resolve_class_path

    try:
        found = import_class(resolve_class_path(class_path, role), role, known_classes(role))
    except ConfigError:
        return {}
    defaults: dict[str, Any] = {}
    for owner in found.__mro__:
        parameters = inspect.signature(owner).parameters.values()
        defaults = {parameter.name: parameter.default for parameter in parameters} | defaults
        if not any(parameter.kind in _HANDED_ON for parameter in parameters):
            break  # what is behind a class that hands no arguments on cannot be set through it
    return defaults


def _spelled_out(spec: dict[str, Any], role: str, *, ignored: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Class path and the arguments that differ from their defaults, so that giving a default changes nothing."""
    defaults = _portable(constructor_defaults(spec["class_path"], role))
    given = _portable(spec.get("init_args"), ignored=ignored)
    if isinstance(given.get(MEMBERS), list):
        given[MEMBERS] = [_member_spelled_out(one) for one in given[MEMBERS]]
    differing = {name: value for name, value in given.items() if name not in defaults or defaults[name] != value}
    return {"class_path": spec["class_path"], "init_args": differing}


def _member_spelled_out(member: Any) -> Any:
    """A member of an ensemble as an experiment of its own has it; a kept run is named by its folder, its key."""
    if not isinstance(member, dict) or "class_path" not in member:
        return member
    from extensions.configuration import ConfigError
    from extensions.configuration.classes import resolve_class_path

    with suppress(ConfigError):  # the run itself says what is wrong
        member = member | {"class_path": resolve_class_path(member["class_path"], "model")}
    trainer = _portable(_unwatched(member.get("trainer") or {}), ignored=_TRAINER_IGNORED)
    return _spelled_out(member, "model", ignored=_MODEL_IGNORED) | ({"trainer": trainer} if trainer else {})


def members_told(members: list[Any]) -> str:
    """The members of an ensemble, for a person to read."""
    told = []
    sizes = {str((one.get("init_args") or {}).get("image_size")) for one in members if isinstance(one, dict)}
    for one in members:
        if not isinstance(one, dict) or "class_path" not in one:
            told.append(PurePosixPath(str(one)).name)
            continue
        alone = Experiment(model=one, data={}, trainer=one.get("trainer") or {})
        size = (one.get("init_args") or {}).get("image_size") if len(sizes) > 1 else None
        settings = ", ".join(filter(None, [alone.settings, f"image_size={size}" if size is not None else ""]))
        name = " ".join(filter(None, [alone.model_name, alone.backbone]))
        told.append(f"{name} ({settings})" if settings else name)
    return " + ".join(told)


def _portable(arguments: dict[str, Any] | None, *, ignored: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Arguments without the ignored ones, absolute paths cut to their last part, keys sorted."""
    return {
        name: _portable_value(name, value) for name, value in sorted((arguments or {}).items()) if name not in ignored
    }


def _portable_value(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return _portable(value)
    if isinstance(value, list | tuple):
        return [_portable_value(name, item) for item in value]
    if isinstance(value, PurePath):
        value = value.as_posix()
    if isinstance(value, str) and (PurePosixPath(value).is_absolute() or name == "weights"):
        return PurePosixPath(value).name
    return value


def _in_words(value: Any) -> Any:
    """A component that is an argument as its call: `ImagePreProcessor(image_size=320)`."""
    if not isinstance(value, dict) or "class_path" not in value:
        return value
    arguments = (value.get("init_args") or {}).items()
    return f"{_class_name(value)}({', '.join(f'{name}={_in_words(one)}' for name, one in arguments)})"


def _unwatched(trainer: dict[str, Any]) -> dict[str, Any]:
    """The trainer's arguments without callbacks that only show what happens."""
    callbacks = trainer.get("callbacks")
    if not isinstance(callbacks, list):
        return trainer
    left = [spec for spec in callbacks if _class_name(spec) not in _ONLY_WATCHING]
    rest = {name: value for name, value in trainer.items() if name != "callbacks"}
    return rest | ({"callbacks": left} if left else {})


def _class_name(spec: Any) -> str:
    path = spec.get("class_path", "") if isinstance(spec, dict) else spec
    return str(path).rsplit(".", 1)[-1]


def _digest(content: dict[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
