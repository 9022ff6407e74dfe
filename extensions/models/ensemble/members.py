"""The members of an ensemble: what an entry of `members` means, and the model that it stands for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extensions.backbones.stock_weights import stock_weights
from extensions.configuration import ConfigError, instantiate_model
from extensions.configuration.classes import import_class, known_classes, resolve_class_path
from extensions.models.common.checkpoint_mixin import restoring
from extensions.models.ensemble.scale import HELD_OUT, Scale

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule

KEYS = ("class_path", "init_args", "trainer")
CHECKPOINT, RECORD = "model.ckpt", "record.json"  # of a kept run's folder
FEWEST = 2


@dataclass(frozen=True)
class Member:
    """A detector of an ensemble.

    Attributes:
        class_path: Of its model.
        init_args: Of its model.
        trainer: Arguments of the trainer that fits it; a member that is trained by gradient needs its epochs here.
        checkpoint: Where it lies trained; None for one that the ensemble fits.
        scale: As its run kept it; None where it is to be found.
        dataset: Name and category of the data that its run was trained on; None where that is not told.
        n_train: How many images it was trained on; None where that is not told.
    """

    class_path: str
    init_args: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] = field(default_factory=dict)
    checkpoint: Path | None = None
    scale: Scale | None = None
    dataset: tuple[str, str] | None = None
    n_train: int | None = None

    @property
    def described(self) -> dict[str, Any]:
        """As an entry of a config that says how to fit it; one that lies trained is described by its arguments."""
        told = {"class_path": self.class_path, "init_args": self.init_args}
        return told | ({"trainer": self.trainer} if self.trainer else {})

    @property
    def told(self) -> str:
        """In a sentence."""
        name = self.class_path.rsplit(".", 1)[-1]
        return " ".join(filter(None, (name, str(self.init_args.get("backbone") or ""))))

    def build(self) -> AnomalibModule:
        """The model as it is described, or trained where it lies so.

        anomalib's own models take the weights that a run of their own takes. While a checkpoint is being loaded, which
        brings all tensors, no weights are looked for.
        """
        if self.checkpoint is not None:
            kind = import_class(self.class_path, "model", known_classes("model"))
            with stock_weights(restoring=True):
                model: AnomalibModule = kind.load_from_checkpoint(
                    self.checkpoint, map_location="cpu", weights_only=True
                )
            return model.eval()
        with stock_weights(restoring=restoring.get()):
            return instantiate_model({"class_path": self.class_path, "init_args": self.init_args})


def read_members(entries: Sequence[str | Path | Mapping[str, Any]]) -> list[Member]:
    """The members that a config names.

    Raises:
        ConfigError: There are fewer than two, or an entry is none; it says which, what was found and what to do.
    """
    if isinstance(entries, str | Path | Mapping) or len(entries) < FEWEST:
        n = 1 if isinstance(entries, str | Path | Mapping) else len(entries)
        msg = (
            f"members: found {n}, expected a list of {FEWEST} or more: folders of kept runs, checkpoints, or mappings "
            "with class_path and init_args"
        )
        raise ConfigError(msg)
    return [_read(entry, place) for place, entry in enumerate(entries)]


def _read(entry: Any, place: int) -> Member:
    if isinstance(entry, str | Path):
        return _kept(Path(entry).expanduser())
    if not isinstance(entry, Mapping) or not isinstance(entry.get("class_path"), str):
        msg = (
            f"members[{place}]: found {entry!r}, expected the folder of a kept run, a checkpoint (.ckpt), or a mapping "
            "with class_path and init_args"
        )
        raise ConfigError(msg)
    for key in entry:
        if key not in KEYS:
            msg = f"members[{place}]: unknown key {key!r}, expected one of {', '.join(KEYS)}"
            raise ConfigError(msg)
    class_path = resolve_class_path(entry["class_path"], "model")
    if class_path == "extensions.Ensemble":
        msg = f"members[{place}]: an Ensemble cannot be a member of another: name its members here"
        raise ConfigError(msg)
    parts = [entry.get(key) or {} for key in KEYS[1:]]
    for key, part in zip(KEYS[1:], parts, strict=True):
        if not isinstance(part, Mapping):
            msg = f"members[{place}].{key}: found {part!r}, expected a mapping"
            raise ConfigError(msg)
    return Member(class_path, dict(parts[0]), dict(parts[1]))


def _kept(path: Path) -> Member:
    """A run's folder, or a checkpoint, with what lies beside it."""
    import torch
    from anomalib.utils.serialization import anomalib_safe_globals

    file = path / CHECKPOINT if path.is_dir() else path
    if not file.is_file():
        what = (
            "its checkpoint was not kept: run it again with `keep: all`, or describe the member by class_path and "
            "init_args"
            if path.is_dir()
            else "expected a checkpoint (.ckpt) or the folder of a kept run"
        )
        msg = (
            f"{path}: there is no file {file.name} in it; {what}" if path.is_dir() else f"{path}: no such file; {what}"
        )
        raise ConfigError(msg)
    try:
        with anomalib_safe_globals():
            stored = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        arguments = stored["hyper_parameters"]
    except Exception as error:
        msg = (
            f"{file}: this cannot be read as a checkpoint of anomalib's ({type(error).__name__}); expected a .ckpt "
            "file of a trained model"
        )
        raise ConfigError(msg) from error
    told = _record(file.parent / RECORD)
    name = stored.get("class_path") or told.get("experiment", {}).get("model", {}).get("class_path")
    if not name:
        msg = (
            f"{file}: nothing tells which class this model is of; give the folder of its run, or describe the member "
            "by class_path and init_args"
        )
        raise ConfigError(msg)
    scale, dataset = file.parent / HELD_OUT, told.get("dataset")
    return Member(
        resolve_class_path(name, "model"),
        {key: _plain(value) for key, value in arguments.items()},
        told.get("experiment", {}).get("trainer") or {},
        checkpoint=file,
        scale=Scale.read(scale) if scale.is_file() else None,
        dataset=(dataset["name"], dataset.get("category") or "") if dataset else None,
        n_train=dataset.get("n_train") if dataset else None,
    )


def _record(path: Path) -> dict[str, Any]:
    """The record beside a checkpoint as plain data; empty where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _plain(value: Any) -> Any:
    """As a checkpoint and a config may hold it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return {name: _plain(one) for name, one in value.items()} if isinstance(value, Mapping) else value
