"""Our own architectures: each is built, loaded, trained and computed like timm's own."""

import pytest
import timm
import torch
from anomalib.models.components import TimmFeatureExtractor
from safetensors.torch import save_file

from extensions.backbones import (
    WeightsError,
    WeightsNotFoundError,
    check_layers,
    default_layers,
    load_backbone_weights,
    register,
)
from extensions.backbones.frozen import freeze

LAYERS = {"resnet18_cbam": ["layer1", "layer2", "layer3"], "unet_resnet18": ["up3", "up2", "up1"]}


@pytest.fixture(params=list(LAYERS))
def backbone(request):
    return request.param


def network(backbone, **arguments):
    """A network with random weights whose residual branches count, unlike timm's start."""
    register()
    torch.manual_seed(0)
    net = timm.create_model(backbone, **arguments).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
    return net


def test_layers_by_default_are_those_of_the_three_strides(backbone):
    assert list(default_layers(backbone, reductions=(4, 8, 16))) == LAYERS[backbone]
    assert list(check_layers(backbone, list(reversed(LAYERS[backbone])))) == LAYERS[backbone]


def test_a_file_of_the_whole_network_gives_the_extractor_its_features(backbone, extractor, image, tmp_path):
    source = network(backbone, num_classes=7)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    target = extractor(backbone, LAYERS[backbone])
    load_backbone_weights(target, backbone, tmp_path / "w.safetensors")
    names = [info["module"] for info in source.feature_info]
    with torch.no_grad():
        expected = source.forward_intermediates(
            image, indices=[names.index(layer) for layer in LAYERS[backbone]], intermediates_only=True
        )
        found = target(image)
    for layer, feature in zip(LAYERS[backbone], expected, strict=True):
        assert feature.abs().max() > 0
        assert torch.equal(found[layer], feature)
    save_file(target.state_dict(), tmp_path / "again.safetensors")
    again = extractor(backbone, LAYERS[backbone])
    load_backbone_weights(again, backbone, tmp_path / "again.safetensors")
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in target.state_dict().items())


def test_a_file_of_the_plain_resnet_is_refused(backbone, extractor, resnet18, tmp_path):
    save_file(resnet18.state_dict(), tmp_path / "plain.safetensors")
    missing = {"resnet18_cbam": r"layer1\.0\.se\.", "unet_resnet18": r"up1\.bn1"}[backbone]
    with pytest.raises(WeightsError, match=f"missing .*{missing}"):
        load_backbone_weights(extractor(backbone, LAYERS[backbone]), backbone, tmp_path / "plain.safetensors")


def test_without_a_file_there_are_no_weights(backbone, extractor):
    with pytest.raises(WeightsNotFoundError, match=backbone):
        load_backbone_weights(extractor(backbone, LAYERS[backbone]), backbone)


def test_a_loss_on_the_pooled_output_reaches_every_parameter_and_falls(backbone, image):
    net = network(backbone, num_classes=0).train()
    images = torch.cat([image, image.flip(-1), 1 - image, image.roll(9, -1)])
    assert net(images).shape == (4, net.num_features)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    losses = []
    for _ in range(4):
        loss = torch.nn.functional.mse_loss(net(images), torch.linspace(0, 1, 4)[:, None].expand(4, net.num_features))
        optimizer.zero_grad()
        loss.backward()
        without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
        assert without == []
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_parts_of_the_network_are_those_timm_promises(backbone, image):
    net = network(backbone, num_classes=0)
    with torch.no_grad():
        maps = net.forward_features(image)
        assert maps.shape == (1, net.num_features, 2, 2)
        torch.testing.assert_close(net.forward_head(maps), maps.mean((2, 3)))
        assert torch.equal(net(image), net.forward_head(maps))
        last, intermediates = net.forward_intermediates(image)
        assert torch.equal(last, maps)
        assert [feature.shape[1] for feature in intermediates] == [info["num_chs"] for info in net.feature_info]
        net.reset_classifier(5)
        assert net(image).shape == (1, 5)
        net.reset_classifier(0, "")
        assert torch.equal(net(image), maps)


def test_strides_are_right_at_odd_sizes(backbone):
    register()
    net = timm.create_model(backbone, features_only=True, out_indices=tuple(range(len(LAYERS[backbone]) + 2)))
    for height, width in ((97, 131), (64, 33)):
        for feature, stride in zip(net(torch.rand(1, 3, height, width)), net.feature_info.reduction(), strict=True):
            assert feature.shape[-2:] == (-(-height // stride), -(-width // stride))


def test_features_through_openvino_are_those_of_torch(backbone, monkeypatch):
    monkeypatch.setenv("WORKBENCH_FEATURES", "openvino")
    frozen = freeze(TimmFeatureExtractor(backbone, LAYERS[backbone], pre_trained=False).eval())
    frozen.feature_extractor.load_state_dict(network(backbone, features_only=True).state_dict(), strict=False)
    assert frozen.engine == "openvino"
    for size in ((64, 64), (75, 101)):
        images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))
        found, expected = frozen._runner(images), TimmFeatureExtractor.forward(frozen, images)
        for layer, feature in expected.items():
            assert feature.abs().max() > 0
            torch.testing.assert_close(found[layer], feature, rtol=0, atol=1e-4 * float(feature.abs().max()))
