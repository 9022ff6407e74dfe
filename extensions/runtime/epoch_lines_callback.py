"""A training in a log: a line for each tenth of its epochs, and one when it is fitted and tested."""

import time
from typing import Any

from lightning.pytorch.callbacks import Callback

from extensions.runtime.progress import EVERY_S, draws_on_stdout, finished_step

LOSSES = ("train_loss_epoch", "train_loss")


def ends_a_tenth(epoch: int, total: int) -> bool:
    """Whether this epoch, from 1 on, ends a tenth of all; each does where there are ten or fewer."""
    return epoch * 10 // total != (epoch - 1) * 10 // total


class EpochLines(Callback):
    """Writes a line for each tenth of the epochs, or every half minute where their number is not known."""

    def __init__(self) -> None:
        self._started = self._told = time.monotonic()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to count seconds."""
        self._started = self._told = time.monotonic()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Write the line, if it is due; a model that is fitted in one pass has no epochs to tell of."""
        epoch, total, now = trainer.current_epoch + 1, trainer.max_epochs, time.monotonic()
        is_known = total is not None and total >= 0
        is_due = total > 1 and ends_a_tenth(epoch, total) if is_known else now - self._told >= EVERY_S
        if not is_due or not trainer.is_global_zero:
            return
        self._told = now
        found = trainer.callback_metrics
        loss = next((f"train_loss {float(found[name]):.4g}, " for name in LOSSES if name in found), "")
        of = f" of {total}" if is_known else ""
        finished_step(f"epoch {epoch}{of}: {loss}{now - self._started:.0f} s")


class RunLines(EpochLines):
    """Also writes when a model is fitted and when it is tested, and keeps Lightning from printing its own table."""

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Say how long the fit took."""
        if trainer.is_global_zero:
            finished_step(f"{pl_module.name} fitted in {time.monotonic() - self._started:.0f} s")

    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        """Leave the metrics to the command's last lines."""
        trainer.test_loop.verbose = False


def lightning_bars(given: bool | None) -> bool:
    """Whether Lightning, which draws on standard output, shows its bars: as asked for, else where somebody watches."""
    return draws_on_stdout() if given is None else given
