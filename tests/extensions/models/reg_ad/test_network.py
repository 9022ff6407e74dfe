"""The registration network: a plain backbone where nothing is transformed, and features that come back."""

import copy

import pytest
import torch
from anomalib.models.components import TimmFeatureExtractor
from torch.nn import functional as F

from extensions.models.reg_ad.network import RegistrationNetwork

LAYERS = ["layer1", "layer2", "layer3"]


@pytest.fixture(scope="module")
def network() -> RegistrationNetwork:
    torch.manual_seed(0)
    return RegistrationNetwork("resnet18").eval()


def turned(network: RegistrationNetwork, angle: float) -> RegistrationNetwork:
    """A copy whose first transformer turns every map by an angle (radians)."""
    other = copy.deepcopy(network)
    with torch.no_grad():
        other.extractor.transformers[0].regression[-1].bias[0] = angle
    return other


@pytest.mark.parametrize("backbone", ["resnet18", "tf_efficientnet_lite0", "cspdarknet53", "unet_resnet18"])
@torch.no_grad()
def test_new_transformers_leave_the_features_of_the_plain_backbone(backbone):
    network = RegistrationNetwork(backbone).eval()
    plain = TimmFeatureExtractor(backbone, network.extractor.layers, pre_trained=False).eval()
    plain.feature_extractor.load_state_dict(network.extractor.feature_extractor.state_dict())
    images = torch.rand(2, 3, 64, 64)
    expected, found = plain(images), network.registered(images)
    assert list(found) == list(expected)
    for layer, maps in expected.items():
        torch.testing.assert_close(found[layer], maps, atol=1e-5 * float(maps.abs().max()), rtol=0)
    torch.testing.assert_close(network(images), found[network.extractor.layers[-1]])


@torch.no_grad()
def test_a_transformed_map_feeds_the_next_layer_and_comes_back(network):
    other = turned(network, 0.4)
    axis = torch.linspace(-1, 1, 128)
    images = torch.exp(-6 * (axis[:, None] ** 2 + (axis[None] - 0.2) ** 2)).expand(1, 3, -1, -1)
    plain, moved, back = network.extractor(images), other.extractor(images), other.registered(images)

    def difference(one: torch.Tensor, two: torch.Tensor) -> float:
        inner = (..., slice(2, -2), slice(2, -2))  # at the edges mirrored values came in
        return float((one - two)[inner].abs().mean() / two[inner].abs().mean())

    assert difference(back["layer1"], plain["layer1"]) < 0.1 * difference(moved["layer1"], plain["layer1"])
    assert difference(moved["layer3"], plain["layer3"]) > 0.01


@torch.no_grad()
def test_a_copy_has_transformers_of_its_own(network):
    images = torch.rand(1, 3, 64, 64)
    before = network(images)
    assert not torch.equal(turned(network, 0.4)(images), before)
    assert torch.equal(network(images), before)


def test_loss_is_minus_the_mean_cosine_of_both_directions():
    torch.manual_seed(0)
    network = RegistrationNetwork("resnet18", ["layer1"]).eval()
    query, support = torch.rand(2, 2, 64, 5, 5).unbind()
    one, two = (network.encoder(maps).permute(0, 2, 3, 1).flatten(0, 2) for maps in (query, support))
    ahead, behind = (
        network.predictor(network.encoder(maps)).permute(0, 2, 3, 1).flatten(0, 2) for maps in (query, support)
    )
    unit = F.normalize
    expected = -((unit(ahead) * unit(two)).sum(1).mean() + (unit(behind) * unit(one)).sum(1).mean()) / 2
    torch.testing.assert_close(network.registration_loss(query, support), expected)


def test_targets_of_the_loss_get_no_gradient(network):
    query, support = torch.rand(2, 1, 256, 4, 4).unbind()
    with torch.no_grad():
        target = network.encoder(support)
    network.zero_grad()
    network.registration_loss(query, support).backward()
    found = network.encoder[0].weight.grad.clone()
    network.zero_grad()
    # What the loss would be with constants as targets.
    predicted = [network.predictor(network.encoder(maps)) for maps in (query, support)]
    targets = [target, network.encoder(query).detach()]
    sum(
        -F.cosine_similarity(one, two, dim=1).mean() / 2 for one, two in zip(predicted, targets, strict=True)
    ).backward()
    torch.testing.assert_close(found, network.encoder[0].weight.grad)


def test_gradients_reach_backbone_and_transformers():
    torch.manual_seed(0)
    network = RegistrationNetwork("resnet18")
    network.registration_loss(network(torch.rand(2, 3, 64, 64)), network(torch.rand(2, 3, 64, 64))).backward()
    for part in (
        network.extractor.feature_extractor.conv1.weight,
        network.extractor.transformers[0].regression[-1].bias,
    ):
        assert part.grad.abs().max() > 0


def test_unknown_transformer_is_an_error_that_lists_them():
    with pytest.raises(ValueError, match="'rotate', expected one of rotation, scale, "):
        RegistrationNetwork(transformer="rotate")
