"""A learning rate that stays, or falls along half a cosine over the epochs."""

import math
from typing import Any, Literal

from extensions.models.common.mixin_base import MixinBase


class LrScheduleMixin(MixinBase):
    """Mix-in for models with one optimizer, which keep their argument `lr_schedule`."""

    lr_schedule: Literal["constant", "cosine"]

    def on_train_epoch_start(self) -> None:
        """Set the learning rate."""
        super().on_train_epoch_start()
        if self.lr_schedule == "cosine":
            optimizer: Any = self.optimizers()
            for group in optimizer.param_groups:
                first = group.setdefault("initial_lr", group["lr"])
                group["lr"] = cosine_lr(first, epoch=self.current_epoch, n_epochs=self.trainer.max_epochs)


def cosine_lr(lr: float, *, epoch: int, n_epochs: int | None) -> float:
    """Return the learning rate of an epoch, counted from 0: half a cosine from `lr` towards a thousandth of it.

    Raises:
        ValueError: Nobody said how many epochs there are.
    """
    if n_epochs is None or n_epochs < 1:
        msg = "lr_schedule=cosine needs to know where it ends: set trainer.max_epochs, or lr_schedule=constant."
        raise ValueError(msg)
    lowest = lr / 1000
    return lowest + (lr - lowest) * (1 + math.cos(math.pi * epoch / n_epochs)) / 2
