"""What a quantized detector remembers of good images, as its own quantized backbone sees them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from extensions.models.padim.exported import ExportedPadim, whitenings
from extensions.models.padim.torch_model import fit_gaussians
from extensions.models.patchcore.exported import ExportedPatchcore
from extensions.runtime.openvino_core import openvino_core
from extensions.runtime.progress import progress_bar

if TYPE_CHECKING:
    import openvino
    from torch import nn

FOUND = 1e-5  # of a row's own square: a patch so near is the one that the row was taken from


def take_own_features(
    quantized: openvino.Model, full: openvino.Model, network: nn.Module, inputs: Iterable[np.ndarray]
) -> None:
    """Give each PatchCore and PaDiM in a quantized network what its own backbone would have made it remember.

    A quantized backbone moves every feature, those of good patches by as much as a small defect does. Where memory
    holds the same patches through the same backbone, most of that cancels. For each row of PatchCore's bank the
    training patch that is nearest to it in full precision (as a rule the one that it was taken from) is looked up, and
    the row moves as that patch does. PaDiM's Gaussians are estimated anew; those of a region of interest stay, and all
    where there are no more images than channels, which tell too little of a covariance. The quantized network is
    changed in place; a network without either stays as it is.

    Args:
        quantized: The network, quantized.
        full: The same in full precision.
        network: What both were written from.
        inputs: Training images as the networks take them, (1, H, W, C) each.

    Raises:
        RuntimeError: What is remembered is not found in the networks.
    """
    memories: list[_Bank | _Gaussians] = []
    for module in network.modules():
        if isinstance(module, ExportedPatchcore):
            memories.append(_Bank(module))
        elif isinstance(module, ExportedPadim) and module.enlarge.rows is None:
            memories.append(_Gaussians(module))
    if not memories:
        return
    names = [_beside(full, memory.beside) for memory in memories]
    moved = _patches_of(quantized, names)
    compared = [name for name, memory in zip(names, memories, strict=True) if isinstance(memory, _Bank)]
    exact = _patches_of(full, compared) if compared else None  # costs as much again, and Gaussians need it not
    for image in progress_bar(inputs, title="features of the quantized backbone", unit="image"):
        before = dict(zip(compared, _tensors(exact(image)), strict=True)) if exact else {}
        for memory, name, after in zip(memories, names, _tensors(moved(image)), strict=True):
            if isinstance(memory, _Bank):
                memory.look(before[name], after)
            else:
                memory.look(after)
    for memory in memories:
        for old, new in memory.changes():
            _replace(quantized, old, new)


class _Bank:
    """The rows (M, C) of a bank, and how far the patch nearest to each is moved."""

    def __init__(self, module: ExportedPatchcore) -> None:
        self.module = module
        self.beside = module.factors
        self.nearest = torch.full_like(module.squares, torch.inf)
        self.shifts = torch.zeros_like(module.bank)

    def look(self, before: torch.Tensor, after: torch.Tensor) -> None:
        """Compare the patches (1, P, C) of an image with all rows whose own patch was not met yet."""
        looking = (self.nearest > FOUND * self.module.squares).nonzero().flatten()
        rows = self.module.bank[looking]
        distances, places = (before[0].pow(2).sum(dim=1) - 2 * rows @ before[0].T).min(dim=1)
        distances += self.module.squares[looking]
        nearer = distances < self.nearest[looking]
        self.nearest[looking[nearer]] = distances[nearer]
        self.shifts[looking[nearer]] = (after - before)[0, places[nearer]]

    def changes(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Tensors of the network and what they become."""
        rows = self.module.bank + self.shifts
        new = [rows.pow(2).sum(dim=1), -2 * rows.T, rows]
        return list(zip([self.module.squares, self.module.factors, self.module.bank], new, strict=True))


class _Gaussians:
    """The Gaussians of P positions, and the features (P, C) of all images."""

    def __init__(self, module: ExportedPadim) -> None:
        self.module = module
        self.beside = module.mean
        self.features: list[torch.Tensor] = []

    def look(self, after: torch.Tensor) -> None:
        """Keep the patches (P, 1, C) of an image."""
        self.features.append(after.permute(1, 2, 0))

    def changes(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Tensors of the network and what they become."""
        if len(self.features) <= self.module.mean.shape[-1]:
            return []
        mean, inverses = fit_gaussians(self.features)
        edges = [*self.module.starts, len(mean)]
        new = [mean.T[:, None], *whitenings(inverses, torch.arange(len(mean)), edges)]
        old = [self.module.mean, *(getattr(self.module, f"whitening{number}") for number in range(len(edges) - 1))]
        return list(zip(old, new, strict=True))


def _patches_of(network: openvino.Model, names: Sequence[str]) -> openvino.CompiledModel:
    """What goes into the operations of these names first, for an image."""
    import openvino

    part = network.clone()
    by_name = {one.get_friendly_name(): one for one in part.get_ordered_ops()}
    patches = [by_name[name].input_value(0) for name in names]
    part = openvino.Model([openvino.opset13.result(one) for one in patches], part.get_parameters())
    return openvino_core().compile_model(part, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def _tensors(found: Any) -> list[torch.Tensor]:
    """Copies of what a network gave: it writes the next image's into the same memory."""
    return [torch.from_numpy(np.array(one)) for one in found.values()]


def _beside(network: openvino.Model, tensor: torch.Tensor) -> str:
    """Name of the operation that takes the patches (three axes) and this tensor."""
    for one in network.get_ordered_ops():
        takes_patches = one.get_input_size() == 2 and len(one.input_value(0).get_partial_shape()) == 3
        if takes_patches and _found(one.input_value(1).get_node(), tensor):
            return str(one.get_friendly_name())
    raise _not_found(tensor)


def _replace(network: openvino.Model, tensor: torch.Tensor, by: torch.Tensor) -> None:
    """Put another tensor in the place of one, wherever it stands, transposed or negated or not."""
    import openvino

    found = [(one, how) for one in network.get_ordered_ops() if (how := _found(one, tensor))]
    if not found:
        raise _not_found(tensor)
    for one, (sign, is_transposed) in found:
        values = sign * (by.numpy().T if is_transposed else by.numpy()).reshape(one.get_output_shape(0))
        constant = openvino.opset13.constant(np.ascontiguousarray(values))
        constant.set_friendly_name(one.get_friendly_name())
        one.output(0).replace(constant.output(0))


def _found(node: openvino.Node, tensor: torch.Tensor) -> tuple[int, bool] | None:
    """Sign with which a node holds this tensor, and whether transposed; None for another; axes of 1 are left out."""
    if node.get_type_name() != "Constant":
        return None
    wanted = tensor.numpy().squeeze()
    lengths = tuple(length for length in node.get_output_shape(0) if length != 1)
    if lengths not in (wanted.shape, wanted.shape[::-1]):
        return None
    held = np.asarray(node.get_data()).squeeze()
    for is_transposed, one in ((False, held), (True, held.T)):
        for sign in (1, -1):
            if one.shape == wanted.shape and np.array_equal(one, sign * wanted):
                return sign, is_transposed
    return None


def _not_found(tensor: torch.Tensor) -> RuntimeError:
    return RuntimeError(
        f"what the model remembers of good images (a tensor of {tuple(tensor.shape)}) is not in the exported network "
        "as it was written, so int8 cannot have it of its own: report this, and export with precision fp32 or fp16"
    )
