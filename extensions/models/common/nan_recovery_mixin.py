"""A NaN loss takes the training back to the best state so far."""

import logging

import torch

from extensions.models.common.held_out_mixin import HeldOutMixin

logger = logging.getLogger(__name__)

MAX_REWINDS = 3
LR_FACTOR = 0.1


class NanRecoveryMixin(HeldOutMixin):
    """Mix-in for models with one optimizer that call `rewind` when their loss is NaN or infinite.

    The best state is that of the epoch with the lowest `val_loss`, without held-out images that of the last epoch
    whose weights were finite, before the first epoch's end that of the start. The learning rate falls to a tenth, the
    optimizer's moments start again and training goes on; after the third time the next NaN loss ends it.

    Attributes:
        n_rewinds: How often this fit went back.
        gave_up: Whether it was ended for that reason; what it leaves is the best state so far.
    """

    n_rewinds: int = 0
    gave_up: bool = False
    _last_finite: dict[str, torch.Tensor]

    def on_fit_start(self) -> None:
        """Remember where the fit started."""
        super().on_fit_start()
        self.n_rewinds, self.gave_up = 0, False
        self._last_finite = self._learned()

    def on_train_epoch_end(self) -> None:
        """Remember what the epoch left, or go back where its last step spoiled it."""
        super().on_train_epoch_end()
        if not all(bool(p.isfinite().all()) for p in self.parameters()):
            self.rewind("a weight")
        elif self._best is None:
            self._last_finite = self._learned()

    def rewind(self, what: str) -> None:
        """Go back to the best state.

        Args:
            what: Is NaN or infinite, for the message.
        """
        optimizer = self.trainer.optimizers[0]
        self.load_state_dict(self._last_finite if self._best is None else self._best[1], strict=False)
        optimizer.state.clear()
        found = f"{what} is not finite in epoch {self.current_epoch}, step {self.trainer.global_step}"
        back = "the last finite state" if self._best is None else f"the state with val_loss {self._best[0]:.4g}"
        if self.n_rewinds == MAX_REWINDS:
            self.gave_up = self.trainer.should_stop = True
            logger.warning("%s: training ends with %s after %d rewinds; lower lr", found, back, MAX_REWINDS)
            return
        self.n_rewinds += 1
        for group in optimizer.param_groups:
            group["lr"] *= LR_FACTOR  # CosineAnnealingLR goes on from there
        rate = optimizer.param_groups[0]["lr"]
        logger.warning("%s: back to %s, learning rate %.2g (%d of %d)", found, back, rate, self.n_rewinds, MAX_REWINDS)
