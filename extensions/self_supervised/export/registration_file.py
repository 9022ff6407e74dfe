"""The network that a registration leaves, all of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from extensions.backbones import WeightsError

if TYPE_CHECKING:
    import torch


def check_registration(
    backbone: str, tensors: dict[str, torch.Tensor], *, origin: str, layers: Sequence[str], transformer: str
) -> None:
    """Compare tensors with those of the registration network.

    Raises:
        WeightsError: One is missing, is not the network's, or has another shape.
    """
    from extensions.models.reg_ad.network import RegistrationNetwork

    expected = RegistrationNetwork(backbone, layers, transformer=transformer).state_dict()
    shapes = [{name: tuple(tensor.shape) for name, tensor in part.items()} for part in (expected, tensors)]
    differing = sorted(name for name in expected | tensors if shapes[0].get(name) != shapes[1].get(name))
    if differing:
        msg = (
            f"{origin}: not a complete registration network of {backbone!r}: missing, unexpected or of another shape "
            f"are {len(differing)} tensors ({', '.join(differing[:3])}); run fit again with --restart"
        )
        raise WeightsError(msg)
