"""An ensemble laid out for an exported model: a backbone that several members share is computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from anomalib.data import InferenceBatch
from torch import nn

from extensions.backbones.frozen import FrozenFeatureExtractor, fix_to_size
from extensions.backbones.input_channels import in_channels, set_in_channels
from extensions.models.common.exported_layout import laid_out

if TYPE_CHECKING:
    from extensions.backbones.feature_source import Features


class GivenFeatures(nn.Module):
    """In the place of a member's feature extractor: hands on those that were computed for all of them.

    Args:
        layers: That the member asks for.
    """

    def __init__(self, layers: Sequence[str]) -> None:
        super().__init__()
        self.layers = list(layers)
        self.features: Features = {}

    def forward(self, images: torch.Tensor) -> Features:
        """Features of the images at work."""
        del images
        return {layer: self.features[layer] for layer in self.layers}


class ExportedEnsemble(nn.Module):
    """A fitted ensemble for prepared images of fixed sizes, any number of them at once.

    Shapes: each of the inputs (N, C, h, w), prepared as its members see them -> pred_score (N,), anomaly_map
    (N, 1, H, W), both higher for more anomalous.

    Args:
        members: The fitted networks.
        joined: What makes one answer of theirs.
        sizes: Height and width in px that each member sees.
        inputs: For each member which of the inputs it sees; members that are prepared alike share one.

    Raises:
        ValueError: A member was not fitted.
    """

    def __init__(
        self,
        members: Sequence[nn.Module],
        joined: Callable[[Sequence[InferenceBatch]], InferenceBatch],
        *,
        sizes: Sequence[tuple[int, int]],
        inputs: Sequence[int],
    ) -> None:
        super().__init__()
        self.inputs = list(inputs)
        self.joined = joined
        made = [laid_out(network, size) for network, size in zip(members, sizes, strict=True)]
        self.extractors = nn.ModuleList()
        self.shared: list[tuple[int, int, GivenFeatures]] = []  # input, extractor, and who is handed the features
        # What is not laid out anew is the trained network itself, which stays as it is.
        own = [one if one is not network else None for one, network in zip(made, members, strict=True)]
        for places in shared_backbones(own, self.inputs):
            found = [made[place].feature_extractor for place in places]
            self.extractors.append(fix_to_size(_for_all(found), sizes[places[0]]))
            for place, extractor in zip(places, found, strict=True):
                given = GivenFeatures(list(map(str, extractor.layers)))
                made[place].feature_extractor = given
                self.shared.append((self.inputs[place], len(self.extractors) - 1, given))
        self.networks = nn.ModuleList(fix_to_size(network, size) for network, size in zip(made, sizes, strict=True))

    def forward(self, *images: torch.Tensor) -> InferenceBatch:
        """Score images."""
        computed: dict[int, Features] = {}
        for place, number, given in self.shared:
            if number not in computed:
                computed[number] = self.extractors[number](images[place])
            given.features = computed[number]
        return self.joined([network(images[place]) for network, place in zip(self.networks, self.inputs, strict=True)])


def shared_backbones(networks: Sequence[nn.Module | None], inputs: Sequence[int]) -> list[list[int]]:
    """Places of the networks that see one input through the same frozen backbone; of those alone none is told.

    Args:
        networks: Of the members; None for one that shares nothing.
        inputs: Which input each sees.
    """
    groups: list[list[int]] = []
    extractors = {place: getattr(network, "feature_extractor", None) for place, network in enumerate(networks)}
    frozen = {place: one for place, one in extractors.items() if isinstance(one, FrozenFeatureExtractor)}
    for place in sorted(frozen, key=lambda place: -max(frozen[place].idx)):  # a deeper one has all of a shallower one's
        for group in groups:
            deepest = frozen[group[0]]
            if inputs[group[0]] == inputs[place] and _has_all_of(deepest, frozen[place]):
                group.append(place)
                break
        else:
            groups.append([place])
    return [group for group in groups if len(group) > 1]


def _has_all_of(one: FrozenFeatureExtractor, other: FrozenFeatureExtractor) -> bool:
    """Whether one extractor has the architecture and all tensors of another."""
    if str(one.backbone) != str(other.backbone):
        return False
    own, wanted = (extractor.feature_extractor.state_dict() for extractor in (one, other))
    return all(name in own and torch.equal(own[name], tensor) for name, tensor in wanted.items())


def _for_all(extractors: Sequence[FrozenFeatureExtractor]) -> FrozenFeatureExtractor:
    """An extractor of all their layers; the first is the deepest."""
    deepest = extractors[0]
    stages: dict[str, int] = {}
    for one in extractors:
        stages |= dict(zip(map(str, one.layers), one.idx, strict=True))
    layers = sorted(stages, key=lambda layer: stages[layer])
    if layers == list(map(str, deepest.layers)):
        return deepest
    with torch.random.fork_rng(devices=[]):  # looking must not change what a seed gives
        wider = FrozenFeatureExtractor(str(deepest.backbone), layers, pre_trained=False)
    set_in_channels(wider, in_channels(deepest))
    wider.feature_extractor.load_state_dict(deepest.feature_extractor.state_dict())
    return wider.eval()
