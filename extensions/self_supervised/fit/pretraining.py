"""Pretrain a backbone as a configuration says, or go on where it was stopped."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from extensions.configuration import ConfigError, instantiate_callback
from extensions.configuration.checked_values import check_keys, is_whole
from extensions.configuration.trainer import check_trainer
from extensions.runtime.epoch_lines_callback import EpochLines, lightning_bars
from extensions.runtime.lightning_runs import interruptible, quiet
from extensions.self_supervised.fit.callbacks import Curve, FiniteLoss, Resuming, SafeCheckpoint, curve_image
from extensions.self_supervised.fit.monitor import KnnMonitor
from extensions.self_supervised.images.image_folders import ImageFolders
from extensions.self_supervised.methods.method import STAMP, Method

CHECKPOINT, RECORD, ENCODER = "last.ckpt", "pretraining.json", "encoder.safetensors"
CURVE, CURVE_IMAGE = "curve.csv", "curve.png"
EVERY_N_STEPS = 200
KEYS = ("model", "data", "trainer", "seed", "checkpoint_every_n_steps", "export", "knn")
_OURS = ("logger", "enable_checkpointing", "default_root_dir", "callbacks")


@dataclass(frozen=True)
class Pretraining:
    """What to pretrain and how, from a configuration.

    Attributes:
        config: The configuration itself, plain data.
        method: The way to pretrain, with its network.
        data: The images.
        trainer: Arguments of Lightning's Trainer.
        seed: Of the network's first weights and of all draws.
        every_n_steps: Steps between two checkpoints.
        knn: Arguments of `KnnMonitor` but the size, None to leave it out.
    """

    config: dict[str, Any]
    method: Method
    data: ImageFolders
    trainer: dict[str, Any]
    seed: int
    every_n_steps: int
    knn: dict[str, Any] | None = None

    @property
    def identity(self) -> str:
        """Which run this is: a checkpoint of another is not gone on from. Length and devices play no part."""
        free = {"max_epochs", "max_steps", "max_time", "devices", "accelerator", "num_nodes", "strategy"}
        trainer = {key: value for key, value in self.trainer.items() if key not in free}
        parts = {key: self.config.get(key) for key in ("model", "data", "seed")} | {"trainer": trainer}
        parts = json.loads(json.dumps(parts))
        (parts["data"].get("init_args") or {}).pop("num_workers", None)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def pretrain(asked: Pretraining, output: Path, *, restart: bool = False) -> dict[str, Any]:
    """Pretrain into a folder, going on from its checkpoint if there is one, and return the record.

    Writes `curve.csv`, `curve.png`, `last.ckpt`, `encoder.safetensors` (all layers, float32) and `pretraining.json`.

    Args:
        asked: See `Pretraining`.
        output: Folder of this run.
        restart: Begin anew though there is a checkpoint.

    Raises:
        ConfigError: No end is given, Lightning refuses the trainer's arguments, or the folder holds the checkpoint of
            another run.
        ValueError: Folders or images that cannot be.
        NotFiniteError: The loss became NaN or infinite.
        OSError: A file could not be written.
    """
    checkpoint = output / CHECKPOINT
    ends = asked.trainer.keys() & {"max_epochs", "max_steps"}
    if not ends:
        msg = "trainer.max_epochs is not given; a pretraining needs an end (trainer.max_time may end it earlier)"
        raise ConfigError(msg)
    output.mkdir(parents=True, exist_ok=True)
    resumed = checkpoint.exists() and not restart
    stopped_at = _stopped_at(checkpoint, asked) if resumed else (0, 0)
    views = asked.method.view_maker(asked.data.image_size)
    asked.data.prepare(views, seed=asked.seed, one_class=asked.method.one_class)
    assert asked.data.found is not None
    asked.method.prepare(asked.data.found)
    _check_size(asked)
    asked.data.go_on(*stopped_at)
    data = asked.data
    monitor = KnnMonitor(**asked.knn, image_size=data.image_size, data_root=data.data_root) if asked.knn else None
    curve = Curve(output / CURVE, monitor)
    callbacks = [
        Resuming(),
        FiniteLoss(checkpoint),
        curve,
        EpochLines(),
        SafeCheckpoint(checkpoint, every_n_steps=asked.every_n_steps),
        *(instantiate_callback(spec) for spec in asked.trainer.get("callbacks") or []),
    ]
    arguments = {"accelerator": "auto", "devices": 1, "log_every_n_steps": 1, "enable_model_summary": False}
    arguments |= {key: value for key, value in asked.trainer.items() if key not in _OURS}
    arguments |= {"logger": asked.trainer.get("logger", False), "enable_checkpointing": False}
    arguments |= {"enable_progress_bar": lightning_bars(asked.trainer.get("enable_progress_bar"))}
    with quiet(), interruptible():
        try:
            trainer = Trainer(default_root_dir=output, callbacks=callbacks, **arguments)
        except (MisconfigurationException, TypeError, ValueError) as error:
            msg = f"trainer: Lightning refuses these arguments: {error}"
            raise ConfigError(msg) from error
        asked.method.stamp = {"identity": asked.identity, "backbone": asked.method.backbone}
        trainer.fit(
            asked.method, datamodule=asked.data, ckpt_path=checkpoint if resumed else None, weights_only=resumed or None
        )
    record = _record(asked, trainer, curve)
    if trainer.is_global_zero:
        _save(asked.method, output, record)
    return record


def _check_size(asked: Pretraining) -> None:
    """Let the encoder see the views of one image, for some architectures take one size only."""
    assert asked.data.dataset is not None
    views = asked.data.dataset[0]
    encoder = asked.method.encoder
    try:
        with torch.no_grad():
            for view in (view for view in views.values() if view.ndim == 3):
                encoder.eval()(view[None])
    except (AssertionError, RuntimeError, ValueError) as error:
        msg = (
            f"backbone {asked.method.backbone!r} cannot take images of {tuple(view.shape[-2:])} px ({error}); set "
            "data.init_args.image_size to a size it takes, or choose a convolutional backbone"
        )
        raise ConfigError(msg) from error
    finally:
        encoder.train()


def _stopped_at(checkpoint: Path, asked: Pretraining) -> tuple[int, int]:
    """Epoch and number of its batches that a checkpoint of this same run was made after."""
    try:
        content = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
        stored = content.get(STAMP) or {}
        loops = content["loops"]["fit_loop"]
        epoch = loops["epoch_progress"]["current"]["processed"]
        n_batches = loops["epoch_loop.batch_progress"]["current"]["processed"]
    except Exception as error:  # torch raises several types for broken files
        msg = f"{checkpoint}: not a checkpoint that can be gone on from ({str(error).splitlines()[0]}); "
        msg += "move it away or begin anew with --restart"
        raise ConfigError(msg) from error
    if stored.get("backbone") != asked.method.backbone:
        msg = f"{checkpoint} is of {stored.get('backbone')!r}, the configuration names {asked.method.backbone!r}; "
        msg += "give another --output, or begin anew with --restart"
        raise ConfigError(msg)
    if stored.get("identity") != asked.identity:
        msg = f"{checkpoint} was written with other settings of model, data, trainer or seed; give another --output, "
        msg += "or begin anew with --restart (length, devices and workers may change)"
        raise ConfigError(msg)
    return epoch, n_batches


def _record(asked: Pretraining, trainer: Trainer, curve: Curve) -> dict[str, Any]:
    from importlib.metadata import version

    found = asked.data.found
    assert found is not None
    counts = {name: found.labels.count(index) for index, name in enumerate(found.classes)}
    wanted = asked.trainer.get("max_epochs")
    return {
        "identity": asked.identity,
        "config": asked.config,
        "backbone": asked.method.backbone,
        "network": asked.method.network_settings,
        "method": type(asked.method).__name__,
        "normalization": asked.method.normalization,
        "images": {"n": len(found), "classes": counts, "sha256": found.sha256},
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "stopped_by": "max_epochs" if wanted and trainer.current_epoch >= wanted else "max_time or max_steps",
        "world_size": trainer.world_size,
        "rank": trainer.global_rank,
        "seconds": round(curve.seconds, 1),
        "collapsed_at": curve.collapsed_at,
        "curve": curve.rows,
        "versions": {name: version(name) for name in ("torch", "timm", "lightly", "lightning")},
    }


def _save(method: Method, output: Path, record: dict[str, Any]) -> None:
    from safetensors.torch import save

    from extensions.runtime.atomic_write import write_whole

    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in method.encoder.state_dict().items()}
    write_whole(output / ENCODER, save(tensors))
    record["encoder_sha256"] = hashlib.sha256((output / ENCODER).read_bytes()).hexdigest()
    write_whole(output / CURVE_IMAGE, curve_image(record["curve"]))
    write_whole(output / RECORD, json.dumps(record, indent=1) + "\n")


def read_pretraining(config: dict[str, Any], path: Path, data_root: Path | None = None) -> Pretraining:
    """What a configuration asks for, its classes built.

    Args:
        config: The configuration.
        path: Of its file.
        data_root: Where relative folders start; None for `$WORKBENCH_DATA`, else the working directory.

    Raises:
        ConfigError: Something in it cannot be; the message begins with the path.
    """
    from extensions.configuration.components import _instantiate, with_data_root

    try:
        _check_form(config)
        seed = config.get("seed", 0)
        seed_everything(seed, verbose=False)
        return Pretraining(
            config,
            _instantiate(config["model"], "method"),
            _instantiate(with_data_root(config["data"], "images", data_root), "images"),
            config.get("trainer") or {},
            seed,
            config.get("checkpoint_every_n_steps", EVERY_N_STEPS),
            config.get("knn"),
        )
    except (ConfigError, ValueError) as error:
        msg = f"{path}: {error}"
        raise ConfigError(msg) from error


def _check_form(config: dict[str, Any]) -> None:
    """Raise a ConfigError for what can be seen without building anything."""
    check_keys(config, KEYS)
    trainer, knn = config.get("trainer") or {}, config.get("knn")
    knows_knn = knn is None or (isinstance(knn, dict) and "root" in knn and not knn.keys() - {"root", "every_n_epochs"})
    for name, is_right, expected in (
        ("model", isinstance(config.get("model"), dict), "a class_path and its init_args"),
        ("data", isinstance(config.get("data"), dict), "a class_path and its init_args"),
        ("trainer", isinstance(trainer, dict), "arguments of Lightning's Trainer such as max_epochs"),
        ("knn", knows_knn, "{root: FOLDER WITH train AND test, every_n_epochs: 5}"),
        (
            "checkpoint_every_n_steps",
            is_whole(config.get("checkpoint_every_n_steps", 1), 1),
            "a whole number from 1 on",
        ),
        ("seed", is_whole(config.get("seed", 0), 0), "a whole number from 0 on"),
    ):
        if not is_right:
            msg = f"{name}: found {config.get(name)!r}, expected {expected}"
            raise ConfigError(msg)
    check_trainer(trainer)
    for key in ("max_epochs", "max_steps"):
        value = trainer.get(key)
        if value is not None and value != -1 and not is_whole(value, 1):
            msg = f"trainer.{key} is {value!r}; expected a whole number, 1 or more (-1 for no such limit)"
            raise ConfigError(msg)
