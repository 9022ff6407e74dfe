"""Scores at the precision that float32 promises, on any device and after any training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


@contextmanager
def exact_float32() -> Iterator[None]:
    """Let cuDNN compute in float32 inside the block, for all threads; on a CPU nothing changes.

    Torch lets it round the factors of float32 convolutions to the 10 bits of TF32
    (https://docs.pytorch.org/docs/stable/notes/cuda.html#tensorfloat-32-tf32-on-ampere-and-later-devices). Raw scores
    then change by up to 1e-3 of their value with the batch that an image is in, and from those of the same network on
    the CPU of the line, where its thresholds must hold. Matrix products keep their precision in torch by default.
    """
    import torch

    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


@contextmanager
def scoring_in_float32(trainer: Trainer) -> Iterator[None]:
    """Let a trainer of mixed precision compute in float32 inside the block, as an exported model does.

    In bfloat16 scores come in steps of 0.4 % of their value: images tie, and thresholds do not fit what runs on the
    line. Weights of a true half precision (`16-true`, `bf16-true`) stay what they are.
    """
    from lightning.pytorch.plugins import MixedPrecision, Precision

    strategy = trainer.strategy
    before = strategy.precision_plugin
    if isinstance(before, MixedPrecision):
        strategy.precision_plugin = Precision()
    try:
        yield
    finally:
        strategy.precision_plugin = before
