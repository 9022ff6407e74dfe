"""Convolutions on a GPU at the precision that their float32 tensors promise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


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
