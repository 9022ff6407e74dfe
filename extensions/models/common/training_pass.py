"""One more look at the training images after a fit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.utils.data import DataLoader

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule


def training_images(module: AnomalibModule) -> Iterator[torch.Tensor]:
    """Batches (N, 3, H, W) of the training images, each once and in order, as training sees them.

    Args:
        module: In the fit whose images are meant.
    """
    from extensions.transforms import Augmentation

    loader = module.trainer.train_dataloader
    # The loader of the fit would shuffle, and might leave the last batch out.
    for batch in DataLoader(loader.dataset, batch_size=loader.batch_size, collate_fn=loader.collate_fn):
        moved = module.trainer.strategy.batch_to_device(batch)
        for callback in module.trainer.callbacks:
            if isinstance(callback, Augmentation):
                callback.on_train_batch_start(module.trainer, module, moved, 0)
        if module.pre_processor is not None:
            module.pre_processor.on_train_batch_start(module.trainer, module, moved, 0)
        yield moved.image


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode and no gradients inside the block."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)
