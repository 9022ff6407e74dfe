"""What a fit spends on the forward and backward passes of what it trains, and the loss of its steps."""

from __future__ import annotations

import time
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback
from torch import nn


class TrainedPart(Callback):
    """Watches a fit of either side.

    Args:
        scale: Multiplies each loss.
        each_image: Whether a loss is a sum over the images of its batch, and is divided by their number.

    Attributes:
        losses: Of each batch.
        seconds: In modules that have trained parameters and no frozen network in them, and in backward passes.
    """

    def __init__(self, scale: float = 1.0, *, each_image: bool = False) -> None:
        self.losses: list[float] = []
        self.seconds = 0.0
        self._scale, self._each_image = scale, each_image
        self._depth = 0
        self._started = 0.0
        self._handles: list[Any] = []

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Watch the modules that are trained; those inside of another one belong to it."""
        for module in pl_module.model.modules():
            if any(one.requires_grad for one in module.parameters()) and not _holds_frozen(module):
                self._handles.append(module.register_forward_pre_hook(lambda *_: self._enter()))
                self._handles.append(module.register_forward_hook(lambda *_: self._leave()))

    def on_before_backward(self, *_: Any) -> None:
        """The clock starts."""
        self._enter()

    def on_after_backward(self, *_: Any) -> None:
        """The clock stops."""
        self._leave()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, *_: Any) -> None:
        """Note the loss."""
        n_images = len(batch.image) if self._each_image else 1
        self.losses.append(float(outputs["loss"]) * self._scale / n_images)

    def on_fit_end(self, *_: Any) -> None:
        """Leave the modules as they were."""
        for handle in self._handles:
            handle.remove()

    def _enter(self) -> None:
        if not self._depth:
            self._started = _now()
        self._depth += 1

    def _leave(self) -> None:
        self._depth -= 1
        if not self._depth:
            self.seconds += _now() - self._started


def _holds_frozen(module: nn.Module) -> bool:
    """Whether a frozen backbone is in it."""
    from anomalib.models.components import TimmFeatureExtractor

    return any(isinstance(one, TimmFeatureExtractor) and not one.requires_grad for one in module.modules())


def _now() -> float:
    """In s, when what a GPU was given is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
