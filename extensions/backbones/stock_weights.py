"""Weights of anomalib's own models, found where those of ours are: the ones that a record names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from extensions.backbones import hub
from extensions.backbones.errors import WeightsNotFoundError
from extensions.backbones.loading import load_backbone_weights
from extensions.backbones.registry import check_backbone
from extensions.backbones.resolve import resolve_weights
from extensions.runtime.escaped import escaped


@contextmanager
def stock_weights(*, restoring: bool = False) -> Iterator[None]:
    """Inside the block anomalib's models take a backbone's weights from the places where ours look for them.

    anomalib asks timm for the weights, timm its hub; a file in the weights folder, an installed package and the tag of
    `weights/manifest.yaml` are unknown to both, though the record of a run names them as the weights of its backbone.
    Here every network that anomalib builds by a backbone's name is built without weights and then loaded with what
    `resolve_weights` finds, strictly: all of its layers, or an error. Only what has no address there (a name that timm
    does not know, or a file that is on no hub) is left to anomalib. Covers the models on `TimmFeatureExtractor`, and
    CFA on a ResNet; the others (U-Flow, CS-Flow, UniNet, GeneralAD, FoundAD, SuperADD and those with files of their
    own) are left alone.

    Args:
        restoring: The model comes from a checkpoint that brings all tensors, so that no weights are looked for.

    Raises:
        WeightsError: The file that was found does not fit, or lacks a layer that the model takes.
        WeightsNotFoundError: The weights are in none of the places.
    """
    from anomalib.models.components import TimmFeatureExtractor
    from anomalib.models.image.cfa import torch_model as cfa

    def build(self: Any, backbone: Any, layers: Any, pre_trained: bool = True, *args: Any, **kwargs: Any) -> None:
        replaced = pre_trained and isinstance(backbone, str) and (restoring or _is_found(backbone))
        stock_init(self, backbone, layers, pre_trained and not replaced, *args, **kwargs)
        if replaced and not restoring:
            load_backbone_weights(self, backbone)

    def build_cfa(backbone: str, return_nodes: list[str]) -> Any:
        if not backbone.startswith(("resnet", "wide_resnet")) or not (restoring or _is_found(backbone)):
            return stock_cfa(backbone, return_nodes)
        import torchvision
        from torchvision.models.feature_extraction import create_feature_extractor

        network = getattr(torchvision.models, backbone)(weights=None)
        if not restoring:
            _load_torchvision(network, backbone, return_nodes)
        return create_feature_extractor(network, return_nodes=return_nodes).eval()

    stock_init, stock_cfa = TimmFeatureExtractor.__init__, cfa.get_feature_extractor
    with _replaced(TimmFeatureExtractor, "__init__", build), _replaced(cfa, "get_feature_extractor", build_cfa):
        yield


@contextmanager
def _replaced(owner: Any, name: str, value: Callable[..., Any]) -> Iterator[None]:
    was = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, was)


def _is_found(backbone: str) -> bool:
    """Whether the workbench knows where the weights are; False leaves name and download to anomalib.

    Raises:
        WeightsNotFoundError: It knows, but they are not on this machine and the hub does not give them.
    """
    try:
        place = hub.address(check_backbone(backbone))
    except ValueError:
        return False
    except WeightsNotFoundError:
        place = None
    try:
        return resolve_weights(backbone).path is not None
    except WeightsNotFoundError as error:
        if place is None:
            return False
        message = (
            f"{error}; fetch the hub's once with a network, or copy the folder "
            f"models--{place.repository.replace('/', '--')} of another machine's cache into "
            f"{escaped(hub.cache_folder())}, or put a file into the weights folder and a row into its manifest.yaml"
        )
        raise WeightsNotFoundError(message) from error


def _load_torchvision(network: Any, backbone: str, layers: list[str]) -> None:
    """Load by way of timm's extractor of these layers: its ResNets have the names of torchvision's."""
    from anomalib.models.components import TimmFeatureExtractor

    extractor = TimmFeatureExtractor(backbone, layers)
    found = extractor.feature_extractor.state_dict()
    network.load_state_dict(found, strict=False)
