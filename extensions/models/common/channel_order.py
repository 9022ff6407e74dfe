"""Permutations of a flow's channels, by looking channels up instead of multiplying by zeros and ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from anomalib.models.components.flow import AllInOneBlock
from FrEIA.framework import SequenceINN

Order = tuple[torch.Tensor, torch.Tensor]


class ChannelOrder:
    """What anomalib's coupling block applies its matrix with: the same numbers, to the last bit, for a permutation.

    Soft permutations, which rotate, mixed precision and exported graphs are multiplied as before.

    Args:
        multiply: Applies the matrix: maps (N, C, ...) and matrix (C, C, ...) -> (N, C, ...).
    """

    def __init__(self, multiply: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        self._multiply = multiply
        self._known: tuple[torch.Tensor, tuple[int, int], Order | None] | None = None

    def __call__(self, maps: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        """The maps in the matrix' order of channels."""
        order = self.find(matrix)
        if order is None:
            return self._multiply(maps, matrix)
        ordered: torch.Tensor = _Reorder.apply(maps, *order)
        return ordered

    def find(self, matrix: torch.Tensor) -> Order | None:
        """Which channel comes to each place, and the way back, both (C,); None where it has to be multiplied."""
        is_traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
        if is_traced or torch.is_autocast_enabled(matrix.device.type) or matrix.is_inference():
            return None
        version = (matrix.data_ptr(), matrix._version)
        if self._known is None or self._known[0] is not matrix or self._known[1] != version:
            weights = matrix.detach().flatten(1)
            order = weights.argmax(dim=1)
            is_hard = torch.equal(weights, torch.eye(len(order), device=order.device, dtype=weights.dtype)[order])
            self._known = (matrix, version, (order, order.argsort()) if is_hard else None)
        return self._known[2]


def look_channels_up(flow: SequenceINN) -> SequenceINN:
    """The same flow, whose blocks of anomalib's permute by `ChannelOrder`; state and results stay."""
    for block in flow:
        assert isinstance(block, AllInOneBlock)
        block.permute_function = ChannelOrder(block.permute_function)
    return flow


class _Reorder(torch.autograd.Function):
    """Channels in another order; the gradient is looked up, too, where torch's own would add up."""

    @staticmethod
    def forward(ctx: Any, maps: torch.Tensor, order: torch.Tensor, inverse: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(inverse)
        return maps.index_select(1, order)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        (inverse,) = ctx.saved_tensors
        return gradients[0].index_select(1, inverse), None, None
