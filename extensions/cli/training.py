"""What anomalib's command line leaves out of training: the seed, the optimizer of the config, an end to training."""

from __future__ import annotations

import logging
import secrets
from types import MethodType
from typing import TYPE_CHECKING, Any

from extensions.configuration import ConfigError
from extensions.models.common.gradient_training import is_trained_by_gradient

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule
    from torch.optim import Optimizer

logger = logging.getLogger(__name__)


def apply_seed(seed_everything: bool | int) -> bool | int:
    """Seed Python, NumPy, torch and the data loaders' workers.

    Args:
        seed_everything: An int is the seed, True draws one, False leaves everything unseeded.

    Returns:
        The seed in effect, or False.
    """
    from lightning.pytorch import seed_everything as seed_all

    if seed_everything is False:
        return False
    drawn = seed_everything is True
    seed = secrets.randbelow(2**32) if drawn else int(seed_everything)
    if drawn:
        logger.info("seed_everything is not given: drew %d", seed)
    return seed_all(seed, workers=True, verbose=False)


def check_training_length(model: AnomalibModule, trainer: dict[str, Any]) -> None:
    """Refuse to train a gradient model without an end; Lightning would silently take 1000 epochs.

    Raises:
        ConfigError: None of `max_epochs`, `max_steps`, `max_time` and `fast_dev_run` is set.
    """
    limits = (trainer.get("max_epochs"), trainer.get("max_time"), trainer.get("fast_dev_run") or None)
    steps = trainer.get("max_steps", -1)
    if is_trained_by_gradient(model) and steps in {-1, None} and all(limit is None for limit in limits):
        msg = (
            f"{type(model).__name__} trains by gradient and trainer.max_epochs is not given; give it, for instance "
            "--trainer.max_epochs 50 (without it Lightning would train 1000 epochs)"
        )
        raise ConfigError(msg)


def use_optimizer(model: AnomalibModule, optimizer: dict[str, Any] | None, scheduler: dict[str, Any] | None) -> None:
    """Train with the optimizer and scheduler of the config, on the parameters the model's own optimizer has.

    The model's own scheduler goes with its optimizer.

    Args:
        model: Changed in place.
        optimizer: `class_path` and `init_args`, or None to leave the model as it is.
        scheduler: Likewise.

    Raises:
        ConfigError: A scheduler without optimizer, or a model that takes neither: it has no gradient training, or
            steps its own optimizers.
    """
    if optimizer is None and scheduler is None:
        return
    name = type(model).__name__
    if optimizer is None:
        msg = f"lr_scheduler without optimizer: give both, since {name}'s own optimizer has its own schedule"
        raise ConfigError(msg)
    if not is_trained_by_gradient(model):
        msg = f"optimizer: {name} does not train by gradient and would ignore it; remove optimizer and lr_scheduler"
        raise ConfigError(msg)
    if not model.automatic_optimization:
        msg = f"optimizer: {name} steps its own optimizer and would ignore it; remove optimizer and lr_scheduler"
        raise ConfigError(msg)
    own = model.configure_optimizers

    def configure_optimizers(module: AnomalibModule) -> Any:
        """Take the model's own choice of parameters, once the trainer has set the model up."""
        from lightning.pytorch.cli import LightningCLI, instantiate_class

        built = instantiate_class(_own_parameters(own(), name), optimizer)
        schedule = instantiate_class(built, scheduler) if scheduler else None
        return LightningCLI.configure_optimizers(module, optimizer=built, lr_scheduler=schedule)

    model.configure_optimizers = MethodType(configure_optimizers, model)


def _own_parameters(configured: Any, name: str) -> list[Any]:
    """The parameters in what a model's `configure_optimizers` returned."""
    if isinstance(configured, tuple | list) and configured and isinstance(configured[0], tuple | list):
        configured = configured[0]
    optimizers = list(configured) if isinstance(configured, tuple | list) else [configured]
    found: list[Optimizer] = [one["optimizer"] if isinstance(one, dict) else one for one in optimizers if one]
    if len(found) != 1:
        msg = f"optimizer: {name} has {len(found)} optimizers of its own, so one cannot take their place; remove it"
        raise ConfigError(msg)
    return [parameter for group in found[0].param_groups for parameter in group["params"]]
