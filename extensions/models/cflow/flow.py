"""CFlow's flows in fewer and smaller operations than FrEIA's sequence of blocks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from FrEIA.framework import SequenceINN

from extensions.models.common.channel_order import ChannelOrder, look_channels_up

# Tensors of a block: that are trained, its scale apart, and that its gradient is made from.
N_WEIGHTS, N_SAVED = 5, 10


class Flow(SequenceINN):
    """Anomalib's flow of a layer, whose gradient is written down: nothing is computed that nobody asks for.

    Equal to anomalib's by rounding. The gradient of the condition is left out, permutations are looked up, all blocks
    are one operation for torch's autograd, and what takes no time of its own is done once for all of them. Soft
    permutations, mixed precision, the way back and exported graphs are anomalib's.

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
        weights = []
        for block in self:
            widen, _, narrow = block.subnet
            weights += [widen.weight, widen.bias, narrow.weight, narrow.bias, block.global_offset]
        latent, log_factors = _Couplings.apply(x_or_z, condition, scales, orders, self[0].clamp, *weights)
        return latent, log_factors + scales.log().sum()

    @staticmethod
    def _order(block: Any) -> tuple[torch.Tensor, torch.Tensor] | None:
        assert isinstance(block.permute_function, ChannelOrder)
        return block.permute_function.find(block.w_perm)


def faster(flow: SequenceINN) -> Flow:
    """The flow that anomalib's `cflow_head` has built, as one of ours with the same tensors."""
    fast = Flow.__new__(Flow)
    fast.__dict__ = look_channels_up(flow).__dict__
    return fast


class _Couplings(torch.autograd.Function):
    """Affine coupling blocks, one after the other; the log-determinant is without that of their scales."""

    @staticmethod
    def forward(
        ctx: Any, fibers: torch.Tensor, condition: torch.Tensor, scales: torch.Tensor,
        orders: list[tuple[torch.Tensor, torch.Tensor]], clamp: float, *weights: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        """(n, C) -> (n, C) and log-determinant (n,); the weights are `N_WEIGHTS` of each block."""
        n_changed = fibers.shape[1] // 2
        log_factors, saved, latent = fibers.new_zeros(len(fibers), n_changed), [], fibers
        for number, (order, inverse) in enumerate(orders):
            w1, b1, w2, b2, offset = weights[N_WEIGHTS * number : N_WEIGHTS * (number + 1)]
            scale = scales[number]
            kept, changed = latent[:, :-n_changed], latent[:, -n_changed:]
            seen = torch.cat([kept, condition], dim=1)
            hidden = torch.addmm(b1, seen, w1.t()).relu_()
            coefficients = torch.addmm(b2, hidden, w2.t(), beta=0.1, alpha=0.1)
            squashed = coefficients[:, :n_changed].tanh()
            factors = (squashed * clamp).exp_()
            log_factors += squashed
            moved = torch.cat([kept, torch.addcmul(coefficients[:, n_changed:], changed, factors)], dim=1)
            saved += [changed, seen, hidden, squashed, factors, moved, w1, w2, scale, inverse]
            latent = torch.addcmul(offset, moved, scale).index_select(1, order)
        ctx.save_for_backward(*saved)
        ctx.clamp = clamp
        return latent, log_factors.sum(dim=1) * clamp

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        """Gradients of fibers, scales and the weights of each block."""
        of_latent, of_log = gradients[0], gradients[1].unsqueeze(1)
        found, of_scales, of_weights = ctx.saved_tensors, [], []
        for first in range(len(found) - N_SAVED, -1, -N_SAVED):
            changed, seen, hidden, squashed, factors, moved, w1, w2, scale, inverse = found[first : first + N_SAVED]
            n_kept = moved.shape[1] - factors.shape[1]
            of_moved = of_latent.index_select(1, inverse)  # (n, C)
            of_scales.append((of_moved * moved).sum(dim=0))
            of_offset = of_moved.sum(dim=0, keepdim=True)
            of_moved *= scale
            of_changed = of_moved[:, n_kept:]
            of_squashed = torch.addcmul(of_log, changed * factors, of_changed)
            of_squashed = torch.ops.aten.tanh_backward(of_squashed, squashed).mul_(ctx.clamp)
            of_coefficients = torch.cat([of_squashed, of_changed], dim=1).mul_(0.1)
            of_hidden = torch.ops.aten.threshold_backward(torch.mm(of_coefficients, w2), hidden, 0)
            of_w1, of_b1 = torch.mm(of_hidden.t(), seen), of_hidden.sum(dim=0)
            of_w2, of_b2 = torch.mm(of_coefficients.t(), hidden), of_coefficients.sum(dim=0)
            of_weights.append((of_w1, of_b1, of_w2, of_b2, of_offset))
            if first or ctx.needs_input_grad[0]:
                of_kept = torch.addmm(of_moved[:, :n_kept], of_hidden, w1[:, :n_kept])
                of_latent = torch.cat([of_kept, of_changed * factors], dim=1)
        weights = [one for block in reversed(of_weights) for one in block]
        of_fibers = of_latent if ctx.needs_input_grad[0] else None
        return of_fibers, None, torch.stack(of_scales[::-1]), None, None, *weights
