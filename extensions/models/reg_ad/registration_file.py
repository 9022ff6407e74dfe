"""A trained registration: a file of all tensors of a `RegistrationNetwork`."""

from pathlib import Path

import torch
from torch import nn

from extensions.backbones import ResolvedWeights, WeightsError, resolve_weights
from extensions.backbones.manifest import rows
from extensions.backbones.tensors import read_tensors

EXTRACTOR = "extractor."


def resolve_registration(backbone: str, registration: str | Path) -> ResolvedWeights:
    """Find the file, by its path or in the weights folder.

    Raises:
        WeightsNotFoundError: It is in neither place.
        WeightsError: Its checksum is not that of the manifest's row of that file.
    """
    found = resolve_weights(backbone, registration)
    row = next((row for row in rows().values() if row.file == Path(registration).as_posix()), None)
    if row is not None and row.sha256 not in (None, found.sha256):
        msg = (
            f"{found.path}: sha256 is {found.sha256}, expected {row.sha256} ({row.manifest}, row {row.name}); get the "
            "file again, or correct the row if you changed the file on purpose"
        )
        raise WeightsError(msg)
    return found


def load_registration(extractor: nn.Module, backbone: str, registration: str | Path) -> ResolvedWeights:
    """Load backbone and spatial transformers; what only training needs, the siamese head, is left out.

    Args:
        extractor: A `TransformedFeatureExtractor` with random tensors; unchanged after an error.
        backbone: timm name.
        registration: The file.

    Raises:
        WeightsNotFoundError: There is no such file.
        WeightsError: It is not of such a network: tensors lack, are too many or of other shapes.
    """
    found = resolve_registration(backbone, registration)
    assert found.path is not None
    tensors = read_tensors(found.path)
    own = {name.removeprefix(EXTRACTOR): one for name, one in tensors.items() if name.startswith(EXTRACTOR)}
    if problem := _misfit(own, extractor.state_dict()):
        msg = (
            f"{found.path}: not a registration network of backbone {backbone!r} with these layers and this "
            f"transformer: {problem}; give the file that extensions.self_supervised.Registration exported, and its "
            "backbone, layers and transformer"
        )
        raise WeightsError(msg)
    extractor.load_state_dict(own)
    return found


def _misfit(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> str | None:
    """The first thing in which the tensors differ from those of the network, in words."""
    if missing := sorted(expected.keys() - found.keys()):
        return f"missing {len(missing)} tensors such as {EXTRACTOR}{missing[0]}"
    if unexpected := sorted(found.keys() - expected.keys()):
        return f"unexpected {len(unexpected)} tensors such as {EXTRACTOR}{unexpected[0]}"
    wrong = [name for name, tensor in expected.items() if found[name].shape != tensor.shape]
    if not wrong:
        return None
    shapes = f"found {tuple(found[wrong[0]].shape)}, expected {tuple(expected[wrong[0]].shape)}"
    return f"{EXTRACTOR}{wrong[0]} has another shape ({shapes})"
