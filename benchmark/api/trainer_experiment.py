"""Which experiment a trainer of anomalib's Engine carries out; what no record can hold is told before it starts."""

from __future__ import annotations

import os
from typing import Any

from benchmark.api.interactive import experiment_of
from benchmark.plan.experiment import Experiment
from extensions.configuration import ConfigError, instantiate_model
from extensions.configuration.differences import difference, tensor_difference
from extensions.models.common.gradient_training import is_trained_by_gradient

_PLAIN = {
    "max_steps": -1, "min_epochs": 0, "min_steps": None, "gradient_clip_val": None, "gradient_clip_algorithm": None,
    "accumulate_grad_batches": 1, "limit_train_batches": 1.0, "precision": "32-true",
}  # fmt: skip
"""Arguments of the trainer that change a fit, by the values they have when nobody gives them."""
_WATCHING = (
    "ModelCheckpoint", "TimerCallback", "MaxStepsProgressCallback", "ProgressBar", "TQDMProgressBar",
    "RichProgressBar", "ModelSummary", "RichModelSummary", "LearningRateMonitor", "DeviceStatsMonitor",
    "ReconstructionStrip", "Record", "RunProgress",
)  # fmt: skip
"""Callbacks without influence on a fit."""


def seed_in_effect(given: int | None) -> int:
    """The seed of the run: the one given, else that of the last `seed_everything`.

    Raises:
        ConfigError: There is none.
    """
    drawn = os.environ.get("PL_GLOBAL_SEED")  # where Lightning keeps it
    if given is None and drawn is None:
        msg = (
            "Record: this run has no seed and could not be repeated; call lightning.seed_everything(0) right before "
            "the model is built"
        )
        raise ConfigError(msg)
    return int(drawn or 0) if given is None else given


def experiment_of_trainer(trainer: Any, model: Any, *, seed: int) -> Experiment:
    """The experiment that a fit is about to carry out.

    Args:
        trainer: Of the Engine, before its fit.
        model: The model that it trains.
        seed: Of the run.

    Raises:
        ConfigError: Something takes part in it that no record holds.
    """
    from anomalib.data import AnomalibDataModule

    if not isinstance(trainer.datamodule, AnomalibDataModule):
        msg = "Record: found data loaders, expected engine.fit(model, datamodule=…), for a record names its data set"
        raise ConfigError(msg)
    _check_limits(trainer)
    arguments = {name: getattr(trainer, name, usual) for name, usual in _PLAIN.items()}
    own = model.trainer_arguments
    given = {name: value for name, value in arguments.items() if repr(value) != repr(own.get(name, _PLAIN[name]))}
    if is_trained_by_gradient(model):
        given["max_epochs"] = trainer.max_epochs
    return experiment_of(
        model,
        trainer.datamodule,
        trainer={name: value for name, value in given.items() if value != -1},
        seed=seed,
        augmentation=_augmentation(trainer, model, seed),
        check=False,  # whoever starts the fit does it with the seed: `check_start`
    )


def _check_limits(trainer: Any) -> None:
    """One device, all images, from the beginning.

    Raises:
        ConfigError: It is otherwise.
    """
    if trainer.world_size > 1:
        msg = f"Record: found {trainer.world_size} devices, expected Engine(devices=1), for a recorded run uses one"
        raise ConfigError(msg)
    if trainer.fit_loop.epoch_progress.current.processed:
        msg = "Record: this Engine has carried out a fit before and would not train again; make a new Engine"
        raise ConfigError(msg)
    if trainer.ckpt_path is not None:
        msg = f"Record: this fit goes on from {trainer.ckpt_path}, and a record starts at the seed; leave out ckpt_path"
        raise ConfigError(msg)
    limits = {
        "fast_dev_run": trainer.fast_dev_run or None,
        "overfit_batches": trainer.overfit_batches or None,
        "limit_test_batches": trainer.limit_test_batches if repr(trainer.limit_test_batches) != "1.0" else None,
    }
    for name, found in limits.items():
        if found is not None:
            msg = f"Record: found Engine({name}={found}), and a record is of all images; leave it out"
            raise ConfigError(msg)


def _augmentation(trainer: Any, model: Any, seed: int) -> list[dict[str, Any]] | None:
    """What `extensions.Augmentation` among the callbacks does.

    Raises:
        ConfigError: There is another callback that may change the fit, or one that a record cannot hold.
    """
    from extensions.transforms import Augmentation

    attached = {id(one) for one in (model.pre_processor, model.post_processor, model.evaluator, model.visualizer)}
    found = []
    for one in trainer.callbacks:
        name = type(one).__name__
        if isinstance(one, Augmentation):
            if one.settings.where == "tta" or one.seed not in (None, seed):
                why = "views of test images" if one.settings.where == "tta" else f"a seed of its own ({one.seed})"
                msg = f"Record: Augmentation has {why}; run it by benchmark.run(…, augmentation=…), without one"
                raise ConfigError(msg)
            found.append(one.settings.told)
        elif name not in _WATCHING and id(one) not in attached:
            msg = (
                f"Record: the callback {name} may change the fit, and a record cannot hold it; leave it out, or run it "
                "by benchmark.run(…, trainer={'callbacks': […]})"
            )
            raise ConfigError(msg)
    return found or None


def check_start(model: Any, experiment: Experiment) -> None:
    """Hold the model against one that the seed gives, and leave the global generators where building it leaves them.

    That is where the benchmark starts its fit.

    Raises:
        ConfigError: The model was changed by hand, was trained, or was not built right after the seed was set.
    """
    from lightning import seed_everything

    seed_everything(experiment.seed, workers=True, verbose=False)
    built = instantiate_model(experiment.model)
    name = type(model).__name__
    if found := tensor_difference(model, built):
        msg = (
            f"Record: this {name} is not as seed {experiment.seed} builds it ({found}); call "
            f"lightning.seed_everything({experiment.seed}) right before the model is built, and do not train it before"
        )
        raise ConfigError(msg)
    if found := difference(model, built):
        msg = f"Record: this {name} is not what its arguments give: {found}; set it by an argument, and build it anew"
        raise ConfigError(msg)
