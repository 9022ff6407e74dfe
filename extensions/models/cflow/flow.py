"""CFlow's flows in fewer and smaller operations than FrEIA's sequence of blocks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from FrEIA.framework import SequenceINN

from extensions.models.common.channel_order import ChannelOrder, look_channels_up


class Flow(SequenceINN):
    """Anomalib's flow of a layer, whose gradient is written down: nothing is computed that nobody asks for.

    Equal to anomalib's by rounding. The gradient of the condition is left out, permutations are looked up, and an
    operation on numbers that take no time of their own is done once for all blocks. Soft permutations, mixed precision,
    the way back and exported graphs are anomalib's.

    Shapes: fibers (n, C) and [condition (n, P)] -> latent (n, C), log-determinant (n,).
    """

    def forward(
        self, x_or_z: torch.Tensor, c: Iterable[torch.Tensor] | None = None, rev: bool = False, jac: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Transform fibers under conditions, which have no gradient."""
        (condition,) = c or (None,)
        orders = [self._order(block) for block in self]
        if rev or condition is None or condition.requires_grad or None in orders:
            return super().forward(x_or_z, None if condition is None else [condition], rev=rev, jac=jac)
        activation = self[0].global_scale_activation
        scales = activation(torch.cat([block.global_scale for block in self]))  # (n_blocks, C)
        latent, jacobians = x_or_z, []
        for block, scale, order in zip(self, scales.unbind(), orders, strict=True):
            widen, _, narrow = block.subnet
            weights = (widen.weight, widen.bias, narrow.weight, narrow.bias)
            latent, jacobian = _Coupling.apply(
                latent, condition, *weights, scale, block.global_offset, order, block.clamp
            )
            jacobians.append(jacobian)
        return latent, torch.stack(jacobians).sum(dim=0) + scales.log().sum()

    @staticmethod
    def _order(block: Any) -> tuple[torch.Tensor, torch.Tensor] | None:
        assert isinstance(block.permute_function, ChannelOrder)
        return block.permute_function.find(block.w_perm)


def faster(flow: SequenceINN) -> Flow:
    """The flow that anomalib's `cflow_head` has built, as one of ours with the same tensors."""
    fast = Flow.__new__(Flow)
    fast.__dict__ = look_channels_up(flow).__dict__
    return fast


class _Coupling(torch.autograd.Function):
    """An affine coupling block; its log-determinant is without that of the scale."""

    @staticmethod
    def forward(
        ctx: Any, fibers: torch.Tensor, condition: torch.Tensor, w1: torch.Tensor, b1: torch.Tensor, w2: torch.Tensor,
        b2: torch.Tensor, scale: torch.Tensor, offset: torch.Tensor, order: tuple[torch.Tensor, torch.Tensor],
        clamp: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        """(n, C) -> (n, C) and log-determinant (n,)."""
        n_changed = fibers.shape[1] // 2
        kept, changed = fibers[:, :-n_changed], fibers[:, -n_changed:]
        seen = torch.cat([kept, condition], dim=1)
        hidden = torch.addmm(b1, seen, w1.t()).relu_()
        coefficients = torch.addmm(b2, hidden, w2.t()).mul_(0.1)
        squashed = coefficients[:, :n_changed].tanh()
        log_factors = squashed * clamp
        factors = log_factors.exp()
        moved = torch.cat([kept, torch.addcmul(coefficients[:, n_changed:], changed, factors)], dim=1)
        ctx.save_for_backward(fibers, seen, hidden, squashed, factors, moved, w1, w2, scale, order[1])
        ctx.clamp = clamp
        return (moved * scale).add_(offset).index_select(1, order[0]), log_factors.sum(dim=1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        """Gradients of fibers, weights, biases, scale and offset."""
        fibers, seen, hidden, squashed, factors, moved, w1, w2, scale, inverse = ctx.saved_tensors
        n_changed = factors.shape[1]
        n_kept = fibers.shape[1] - n_changed
        of_scaled = gradients[0].index_select(1, inverse)  # (n, C)
        of_scale, of_offset = (of_scaled * moved).sum(dim=0), of_scaled.sum(dim=0, keepdim=True)
        of_moved = of_scaled.mul_(scale)
        of_changed = of_moved[:, n_kept:]
        of_log = (fibers[:, n_kept:] * factors).mul_(of_changed).add_(gradients[1].unsqueeze(1)).mul_(ctx.clamp)
        of_squashed = of_log.addcmul_(of_log * squashed, squashed, value=-1)  # the slope of tanh is 1 - tanh^2
        of_coefficients = torch.cat([of_squashed, of_changed], dim=1).mul_(0.1)
        of_hidden = torch.ops.aten.threshold_backward(torch.mm(of_coefficients, w2), hidden, 0)
        of_fibers = None
        if ctx.needs_input_grad[0]:
            of_kept = torch.addmm(of_moved[:, :n_kept], of_hidden, w1[:, :n_kept])
            of_fibers = torch.cat([of_kept, of_changed * factors], dim=1)
        of_w1, of_b1 = torch.mm(of_hidden.t(), seen), of_hidden.sum(dim=0)
        of_w2, of_b2 = torch.mm(of_coefficients.t(), hidden), of_coefficients.sum(dim=0)
        return of_fibers, None, of_w1, of_b1, of_w2, of_b2, of_scale, of_offset, None, None
