"""Fit one model with one Engine, watch its loss, and test it once."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from anomalib.callbacks import ModelCheckpoint
from lightning.pytorch.callbacks import Callback, Timer

from benchmark.one_run.progress import RunProgress
from benchmark.plan.validation import check_callbacks, check_one_device
from benchmark.records.record_sections import Training
from extensions.configuration import ConfigError, instantiate_callback, instantiate_logger
from extensions.models.common.gradient_training import is_trained_by_gradient
from extensions.runtime.float32 import scoring_in_float32
from extensions.runtime.lightning_runs import interruptible, quiet

if TYPE_CHECKING:
    from anomalib.data import AnomalibDataModule
    from anomalib.engine import Engine
    from anomalib.models import AnomalibModule

MIN_EPOCHS = 8
TOLERANCE = 0.05


class LossCurve(Callback):
    """Mean training loss of each epoch, as the model logs it under `train_loss`, and `val_loss` where it logs one."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.val_losses: list[float] = []

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: D102 - Lightning's hook
        if "val_loss" in trainer.callback_metrics:
            self.val_losses.append(float(trainer.callback_metrics["val_loss"]))
        for name in ("train_loss_epoch", "train_loss"):
            if name in trainer.callback_metrics:
                self.losses.append(float(trainer.callback_metrics[name]))
                return


def make_engine(
    model: AnomalibModule,
    trainer: dict[str, Any],
    folder: Path,
    *,
    callbacks: list[Callback],
    progress: bool,
    validation: bool = False,
) -> Engine:
    """One Engine for one run, writing only into `folder`: no checkpoints, no images, no validation unless asked for.

    Raises:
        ConfigError: A model trained by gradient without a stated number of epochs (Lightning would take 1000), or
            more than one device.
    """
    from anomalib.engine import Engine

    check_one_device(trainer)
    check_callbacks(trainer)
    if is_trained_by_gradient(model) and not trainer.keys() & {"max_epochs", "max_steps", "max_time"}:
        msg = (
            f"{model.name} is trained by gradient descent and trainer.max_epochs is not given; "
            "add it to the model's `trainer:` section (configs/models/ has values that were measured)"
        )
        raise ConfigError(msg)
    model.evaluator = None  # the benchmark's own metrics replace it
    model.visualizer = None
    arguments = {"accelerator": "auto", "devices": 1, **trainer, "logger": _loggers(trainer.get("logger"))}
    for given in ("default_root_dir", "enable_checkpointing"):  # set here for every run
        arguments.pop(given, None)
    arguments |= {"enable_progress_bar": False, "enable_model_summary": False, "limit_val_batches": float(validation)}
    own = [instantiate_callback(spec) for spec in arguments.pop("callbacks", None) or []]
    callbacks = [*callbacks, *own, *([RunProgress()] if progress else []), ModelCheckpoint(save_top_k=0)]
    return Engine(callbacks=callbacks, default_root_dir=folder, **arguments)


def _loggers(given: Any) -> Any:
    """Loggers from their entries in a configuration; none unless asked for."""
    if isinstance(given, dict | str):
        return instantiate_logger(given)
    return [instantiate_logger(spec) for spec in given] if isinstance(given, list) else bool(given)


def device_of(trainer: dict[str, Any]) -> str:
    """Where the trainer will compute: cuda or cpu."""
    import torch

    wants_gpu = trainer.get("accelerator", "auto") in ("auto", "gpu", "cuda")
    return "cuda" if wants_gpu and torch.cuda.is_available() else "cpu"


def fit(engine: Engine, model: AnomalibModule, datamodule: AnomalibDataModule) -> tuple[float, Training]:
    """Fit and return the seconds it took (data loading included, set-up of the data set not) and how it went."""
    curve = LossCurve()
    engine._cache.args["callbacks"].append(curve)
    started = time.perf_counter()
    with quiet(), interruptible():
        engine.fit(model=model, datamodule=datamodule)
    seconds = time.perf_counter() - started
    return seconds, summary(engine.trainer, model, curve)


def test_once(engine: Engine, model: AnomalibModule, datamodule: AnomalibDataModule) -> float:
    """Run the test set through the model a single time, in float32, and return the seconds.

    `Engine.test` would run a validation first to find thresholds; here they come from the same single pass. A mixed
    precision is the training's: what is exported scores in float32.
    """
    started = time.perf_counter()
    with quiet(), interruptible(), scoring_in_float32(engine.trainer):
        engine.trainer.test(model, datamodule=datamodule, verbose=False)
    return time.perf_counter() - started


def attach(engine: Engine, model: AnomalibModule) -> None:
    """Have an Engine hold a fitted model that it neither fits nor tests, to write its checkpoint."""
    engine._setup_trainer(model)
    engine.trainer.strategy.connect(model)
    model.trainer = engine.trainer


def validates(model: AnomalibModule, datamodule: AnomalibDataModule) -> bool:
    """Whether the fit watches a loss on images held out of training; test images never have a say in it."""
    mode = getattr(datamodule, "val_split_mode", None)
    held_out = str(getattr(mode, "value", mode)) == "from_train" and len(getattr(datamodule, "val_data", ())) > 0
    return held_out and getattr(model, "logs_val_loss", False)


def summary(trainer: Any, model: AnomalibModule, curve: LossCurve) -> Training:
    """How a fit that has ended went.

    Raises:
        FloatingPointError: A NaN loss, or an infinite one.
    """
    losses = curve.losses
    epochs = int(trainer.current_epoch)
    if not is_trained_by_gradient(model):
        return Training(
            epochs=epochs, max_epochs=1, stopped_by="single pass", converged=True, loss=[], val_loss=[], rewinds=0
        )
    if losses and not all(math.isfinite(loss) for loss in losses):
        msg = f"the training loss became {losses[-1]} in epoch {len(losses)}; lower the learning rate"
        raise FloatingPointError(msg)
    limit = trainer.max_epochs
    limit = None if limit is None or limit < 0 else limit  # -1: limited by steps or time alone
    stopped_by, converged = _stopped_by(trainer, epochs, limit), has_converged(curve.val_losses or losses)
    if getattr(model, "gave_up", False):
        stopped_by, converged = "loss not finite", False
    return Training(
        epochs=epochs,
        max_epochs=limit,
        stopped_by=stopped_by,
        converged=converged,
        loss=losses,
        val_loss=curve.val_losses,
        rewinds=getattr(model, "n_rewinds", 0),
    )


def has_converged(losses: Sequence[float]) -> bool:
    """Tell whether a loss curve is flat at its end.

    The curve counts as flat when the mean loss of the last quarter of the epochs is lower than that of the quarter
    before by at most 5 % of what the training gained in all (first epoch minus last quarter). Fewer than eight epochs
    are never enough to tell. The test set plays no part.

    Args:
        losses: Mean training loss of each epoch, or the loss on images held out of training; lower is better.
    """
    curve = np.asarray(losses, dtype=float)
    if len(curve) < MIN_EPOCHS or not np.isfinite(curve).all():
        return False
    quarter = len(curve) // 4
    last, before = curve[-quarter:].mean(), curve[-2 * quarter : -quarter].mean()
    gained = curve[0] - last
    return bool(gained > 0 and before - last <= TOLERANCE * gained)


def _stopped_by(trainer: Any, epochs: int, limit: int | None) -> str:
    if limit is not None and epochs >= limit:
        return "max_epochs"
    timers = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]
    if trainer.should_stop and all((timer.time_remaining() or 0) > 0 for timer in timers):
        return "early stopping"
    return "limit of steps or time"
