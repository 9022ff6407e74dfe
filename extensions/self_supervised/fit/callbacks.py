"""Watching a pretraining: a checkpoint every few steps, a stop at the first NaN loss, a curve."""

import logging
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback

logger = logging.getLogger(__name__)

COLLAPSED = 0.05  # spread of the embeddings, of 1
AVERAGED = ("train_loss", "embedding_spread")
MEASURED = ("train_accuracy", "cosine_blended", "cosine_weak")  # of the methods that have them


class NotFiniteError(RuntimeError):
    """The loss is NaN or infinite; the message says which checkpoint is left."""


class SafeCheckpoint(Callback):
    """Writes the whole state to one file every few steps and at the end; of one process every five minutes, too.

    A new file takes the old one's place when it is complete, and only if all of the network is finite.

    Args:
        path: Of the file.
        every_n_steps: Steps of the optimizer between two.
        every_s: Seconds between two. Several processes, which must agree when to save, count steps only.
    """

    def __init__(self, path: Path, *, every_n_steps: int, every_s: float = 300) -> None:
        self._path, self._every, self._every_s = path, every_n_steps, every_s
        self._saved, self._saved_at = -1, time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Save when enough steps were made, or enough time has gone; an epoch's last batch waits for its end."""
        if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._save_if_due(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Save, too, when it is time: with the epoch's row of the curve."""
        self._save_if_due(trainer)

    def _save_if_due(self, trainer: Trainer) -> None:
        n_steps = trainer.global_step - max(0, self._saved)
        is_late = trainer.world_size == 1 and time.monotonic() - self._saved_at >= self._every_s
        if n_steps and (n_steps >= self._every or is_late):
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Save what the end left."""
        if trainer.global_step != self._saved:
            self._save(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Count from where a stopped run goes on."""
        self._saved, self._saved_at = trainer.global_step, time.monotonic()

    def _save(self, trainer: Trainer) -> None:
        self._saved, self._saved_at = trainer.global_step, time.monotonic()
        assert trainer.model is not None
        if not all(bool(p.isfinite().all()) for p in trainer.model.parameters()):
            return  # the next loss says so, and the last good file stays
        partial = self._path.with_name(f".{self._path.name}.part")
        try:
            trainer.save_checkpoint(partial)
            if trainer.is_global_zero:
                os.replace(partial, self._path)  # noqa: PTH105 - atomic
        except (OSError, RuntimeError) as error:  # torch raises RuntimeError on a full disk
            partial.unlink(missing_ok=True)
            left = f"{self._path} of an earlier step is still there" if self._path.exists() else "there is none yet"
            msg = f"checkpoint {self._path} could not be written at step {self._saved} ({error}); {left}: make room, "
            msg += "then run the same command to go on from it"
            raise OSError(msg) from error


class FiniteLoss(Callback):
    """Stops at the first NaN or infinite loss, before it can spoil what was learned."""

    def __init__(self, checkpoint: Path) -> None:
        self._checkpoint = checkpoint

    def on_before_backward(self, trainer: Trainer, pl_module: Any, loss: torch.Tensor) -> None:
        """Look at the loss.

        Raises:
            NotFiniteError: It is NaN or infinite.
        """
        if torch.isfinite(loss):
            return
        saved = self._checkpoint.exists()
        left = f"{self._checkpoint} holds the last good state" if saved else "nothing was saved yet"
        msg = (
            f"the loss is {loss.item()} at step {trainer.global_step}; {left}: lower model.init_args.lr, give a longer "
            f"warmup_epochs, or trainer.gradient_clip_val, and run the same command{' with --restart' if saved else ''}"
        )
        raise NotFiniteError(msg)


class Curve(Callback):
    """Loss, spread of the embeddings and learning rate of each epoch; part of the checkpoint.

    Args:
        path: Of the CSV.
        measure: From the method and the epoch to further columns, such as `KnnMonitor`.

    Attributes:
        rows: One an epoch: epoch (from 1), step, train_loss, embedding_spread, lr, seconds, and those of `MEASURED`
            that the method has.
        collapsed_at: First epoch whose embeddings were all alike, None for none.
    """

    def __init__(self, path: Path, measure: Callable[[Any, int], dict[str, float]] | None = None) -> None:
        self._path, self._measure = path, measure
        self.rows: list[dict[str, float]] = []
        self.collapsed_at: int | None = None
        self._seconds, self._since = 0.0, time.perf_counter()
        self._sums = dict.fromkeys(AVERAGED, 0.0)  # over the epoch's batches so far: Lightning forgets them in a stop
        self._n_batches = 0

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Begin to count seconds."""
        self._since = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Count the batch in."""
        for name in AVERAGED:
            self._sums[name] += float(trainer.callback_metrics.get(f"{name}_step", math.nan))
        self._n_batches += 1

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Add a row, write the curve, and say when all embeddings have become alike."""
        found = trainer.callback_metrics
        row = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            **{name: total / max(1, self._n_batches) for name, total in self._sums.items()},
            "lr": float(trainer.optimizers[0].param_groups[0]["lr"]),
            "seconds": round(self.seconds, 1),
        }
        self._sums, self._n_batches = dict.fromkeys(AVERAGED, 0.0), 0
        row |= {name: float(found[name]) for name in MEASURED if name in found}  # of the batches since a stop
        if self._measure is not None:
            row |= self._measure(pl_module, int(row["epoch"]))
        self.rows.append(row)
        if row["embedding_spread"] < COLLAPSED and self.collapsed_at is None:
            self.collapsed_at = int(row["epoch"])
            logger.warning(
                "collapsed: in epoch %d the embeddings of all images are alike (spread %.3f of 1); what is learned "
                "from here on tells nothing apart: lower model.init_args.lr, or begin from other weights",
                row["epoch"],
                row["embedding_spread"],
            )
        if trainer.is_global_zero:
            write_curve(self._path, self.rows)

    @property
    def seconds(self) -> float:
        """Spent in training, those of earlier parts of a stopped run included."""
        return self._seconds + time.perf_counter() - self._since

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        counted = {"sums": dict(self._sums), "n_batches": self._n_batches}
        return {"rows": self.rows, "collapsed_at": self.collapsed_at, "seconds": self.seconds, **counted}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.rows, self.collapsed_at = list(state_dict["rows"]), state_dict["collapsed_at"]
        self._seconds, self._since = float(state_dict["seconds"]), time.perf_counter()
        if "sums" in state_dict:  # not in older checkpoints
            self._sums, self._n_batches = dict(state_dict["sums"]), int(state_dict["n_batches"])


class Resuming(Callback):
    """Tells the images which epoch it is; where a stopped one goes on `ImageFolders.go_on` told them."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Draw what this epoch draws, from its first image on; not called where a stopped epoch goes on."""
        images: Any = trainer.datamodule
        images.dataset.epoch, images.dataset.start = trainer.current_epoch, 0


def write_curve(path: Path, rows: list[dict[str, float]]) -> None:
    """Write the rows as CSV, whole or not at all."""
    import pandas as pd

    from extensions.runtime.atomic_write import write_whole

    write_whole(path, pd.DataFrame(rows).to_csv(index=False))


def curve_image(rows: list[dict[str, float]]) -> bytes:
    """Draw loss, spread and what else was measured over the epochs, as PNG."""
    from io import BytesIO

    import pandas as pd
    from matplotlib.figure import Figure

    frame = pd.DataFrame(rows)
    names = [name for name in frame.columns if name not in ("epoch", "step", "lr", "seconds")]
    figure = Figure(figsize=(4 * max(1, len(names)), 3), layout="constrained")
    for place, name in enumerate(names):
        axes = figure.add_subplot(1, len(names), place + 1)
        known = frame[frame[name].notna()]
        axes.plot(known["epoch"], known[name], marker="." if len(known) < 30 else "")
        axes.set(title=name, xlabel="epoch")
    content = BytesIO()
    figure.savefig(content, format="png", dpi=100)
    return content.getvalue()
