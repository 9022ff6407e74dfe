"""A loss on images held out of training: what may end the training, and which epoch is kept."""

import copy
import math
from typing import Any, ClassVar

import torch

from extensions.models.common.mixin_base import MixinBase


class HeldOutMixin(MixinBase):
    """Mix-in for gradient models that log `val_loss` in `validation_step` when `holds_out_training_images`.

    What was learned by the end of the epoch with the lowest `val_loss` is what the fit leaves, in the checkpoints that
    nobody monitors too. Without held-out images it is what the last epoch leaves, as in anomalib.
    """

    logs_val_loss: ClassVar[bool] = True
    extractor_name: ClassVar[str]  # of the frozen backbone in `self.model`, see BackboneMixin; none for a model without
    _best: tuple[float, dict[str, torch.Tensor]] | None = None

    def on_fit_start(self) -> None:
        """Refuse to wait for a `val_loss` that there will not be.

        Raises:
            ValueError: A callback monitors `val_loss` and no training images are held out.
        """
        super().on_fit_start()
        self._best = None
        waiting = [type(one).__name__ for one in self.trainer.callbacks if getattr(one, "monitor", "") == "val_loss"]
        if waiting and not holds_out_training_images(self.trainer):
            msg = (
                f"{waiting[0]} waits for val_loss, but the data's val_split_mode is {_mode(self.trainer)!r}: hold "
                "training images out with val_split_mode=from_train and val_split_ratio=0.2, or monitor train_loss "
                "(test images must not decide when training ends)."
            )
            raise ValueError(msg)

    def on_validation_epoch_end(self) -> None:
        """Remember what gave the lowest `val_loss`, and the thresholds that were found for it."""
        super().on_validation_epoch_end()
        loss = self.trainer.callback_metrics.get("val_loss")
        if self.trainer.state.fn != "fit" or loss is None:
            return
        if math.isfinite(loss) and (self._best is None or float(loss) < self._best[0]):
            self._best = (float(loss), self._learned())

    def on_train_end(self) -> None:
        """Go back to it."""
        super().on_train_end()
        if self._best is None:
            return
        self.load_state_dict(self._best[1], strict=False)
        self._best = None
        self._write_checkpoints_again()

    def _learned(self) -> dict[str, torch.Tensor]:
        """A copy of all tensors but those of a frozen backbone."""
        frozen = f"model.{self.extractor_name}." if hasattr(self, "extractor_name") else None
        state = self.state_dict()
        return copy.deepcopy({key: state[key] for key in state if frozen is None or not key.startswith(frozen)})

    def _write_checkpoints_again(self) -> None:
        """Put what the model is now into the checkpoints of the run that nobody monitors."""
        for callback in self.trainer.checkpoint_callbacks:
            path = getattr(callback, "best_model_path", "")
            if path and getattr(callback, "monitor", None) is None:
                self.trainer.save_checkpoint(path, weights_only=getattr(callback, "save_weights_only", False))


def holds_out_training_images(trainer: Any) -> bool:
    """Whether the validation images are training images that are not trained on."""
    return _mode(trainer) == "from_train"


def _mode(trainer: Any) -> str:
    mode = getattr(getattr(trainer, "datamodule", None), "val_split_mode", None)
    return str(getattr(mode, "value", mode))
