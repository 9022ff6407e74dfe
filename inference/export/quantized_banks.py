"""Memory banks of a quantized network: the features of the same patches as the quantized backbone gives them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from extensions.models.patchcore.exported import ExportedPatchcore
from extensions.runtime.openvino_core import openvino_core

if TYPE_CHECKING:
    import openvino
    from torch import nn

FOUND = 1e-5  # of a row's own square: a patch so near is the one that the row was taken from


def take_own_features(
    quantized: openvino.Model, full: openvino.Model, network: nn.Module, inputs: Iterable[np.ndarray]
) -> None:
    """Give each PatchCore in a quantized network the bank that its own backbone would have given.

    A quantized backbone moves every feature, those of good patches by as much as a small defect does. Where the bank
    holds the same patches through the same backbone, most of that cancels. For each row the training patch that is
    nearest to it in full precision (as a rule the one that it was taken from) is looked up, and the row moves as that
    patch does. The quantized network is changed in place; one without a bank stays as it is.

    Args:
        quantized: The network, quantized.
        full: The same in full precision.
        network: What both were written from.
        inputs: Training images as the networks take them, (1, H, W, C) each.

    Raises:
        RuntimeError: A bank is not found in the networks.
    """
    banks = [_Bank(module) for module in network.modules() if isinstance(module, ExportedPatchcore)]
    if not banks:
        return
    products = [_product(full, bank.module) for bank in banks]
    exact, moved = (_patches_of(one, products) for one in (full, quantized))
    for image in inputs:
        for bank, before, after in zip(banks, exact(image).values(), moved(image).values(), strict=True):
            bank.look(torch.from_numpy(before[0]), torch.from_numpy(after[0]))
    for bank in banks:
        rows = bank.module.bank + bank.shifts
        _replace(quantized, bank.module.squares, rows.pow(2).sum(dim=1))
        _replace(quantized, bank.module.factors, -2 * rows.T)
        _replace(quantized, bank.module.bank, rows)


@dataclass
class _Bank:
    """Rows (M, C) of a bank, and how far the patch nearest to each is moved."""

    module: ExportedPatchcore
    nearest: torch.Tensor = field(init=False)
    shifts: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.nearest = torch.full_like(self.module.squares, torch.inf)
        self.shifts = torch.zeros_like(self.module.bank)

    def look(self, before: torch.Tensor, after: torch.Tensor) -> None:
        """Compare the patches (P, C) of an image with all rows whose own patch was not met yet."""
        looking = (self.nearest > FOUND * self.module.squares).nonzero().flatten()
        rows, squares = self.module.bank[looking], self.module.squares[looking]
        distances, places = (before.pow(2).sum(dim=1) - 2 * rows @ before.T).min(dim=1)
        distances += squares
        nearer = distances < self.nearest[looking]
        self.nearest[looking[nearer]] = distances[nearer]
        self.shifts[looking[nearer]] = (after - before)[places[nearer]]


def _patches_of(network: openvino.Model, products: Sequence[str]) -> openvino.CompiledModel:
    """What goes into these matrix products, for an image."""
    import openvino

    part = network.clone()
    by_name = {one.get_friendly_name(): one for one in part.get_ordered_ops()}
    patches = [by_name[name].input_value(0) for name in products]
    part = openvino.Model([openvino.opset13.result(one) for one in patches], part.get_parameters())
    return openvino_core().compile_model(part, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def _product(network: openvino.Model, module: ExportedPatchcore) -> str:
    """Name of the product of all patches of an image with a bank."""
    for one in network.get_ordered_ops():
        if one.get_type_name() == "MatMul" and len(one.get_output_partial_shape(0)) == 3:
            factors = one.input_value(1).get_node()
            if _is(factors, module.factors.numpy()):
                return str(one.get_friendly_name())
    raise _not_found(module.factors)


def _replace(network: openvino.Model, tensor: torch.Tensor, by: torch.Tensor) -> None:
    """Put another tensor in the place of one, wherever it stands, transposed or not."""
    import openvino

    old, new = tensor.numpy(), by.numpy()
    found = [one for one in network.get_ordered_ops() if _is(one, old)]
    if not found:
        raise _not_found(tensor)
    for one in found:
        shape = tuple(one.get_output_shape(0))
        values = new.T if shape == old.T.shape and shape != old.shape else new.reshape(shape)
        constant = openvino.opset13.constant(np.ascontiguousarray(values))
        constant.set_friendly_name(one.get_friendly_name())
        one.output(0).replace(constant.output(0))


def _is(node: openvino.Node, tensor: np.ndarray) -> bool:
    """Whether a node holds this tensor, transposed or not; axes of length one do not count."""
    if node.get_type_name() != "Constant":
        return False
    shape = [length for length in node.get_output_shape(0) if length != 1]
    wanted = [length for length in tensor.shape if length != 1]
    if shape not in (wanted, wanted[::-1]):
        return False
    held = np.asarray(node.get_data()).squeeze()
    return any(np.array_equal(held, one.squeeze()) for one in (tensor, tensor.T) if one.squeeze().shape == held.shape)


def _not_found(tensor: torch.Tensor) -> RuntimeError:
    return RuntimeError(
        f"a memory bank of {tensor.shape[-1]} patches is not in the exported network as it was written, so int8 cannot "
        "get one of its own: report this, and export with precision fp32 or fp16"
    )
