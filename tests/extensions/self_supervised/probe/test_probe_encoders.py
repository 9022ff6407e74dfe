"""What a probe looks at: pixels and pooled features, compared with the same done by hand."""

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torchvision.transforms.v2.functional import normalize, resize

from extensions.backbones import WeightsNotFoundError, normalization
from extensions.self_supervised.probe import probe_encoders
from extensions.self_supervised.probe.probe_data import LabelledImages
from extensions.self_supervised.probe.probe_encoders import Encoder, calibrate_batch_norm, find_encoder, pooled_features


@pytest.fixture
def split():
    """Five images of 40 x 48 px."""
    pixels = np.random.default_rng(0).integers(256, size=(5, 40, 48, 3)).astype(np.uint8)
    return LabelledImages("train", np.array([0, 0, 1, 1, 1]), pixels.__getitem__)


def as_batch(split, side):
    images = torch.stack([torch.from_numpy(split.read(i)).permute(2, 0, 1) for i in range(len(split))]).float() / 255
    return resize(images, [side, side], antialias=True)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    network = timm.create_model("resnet18", pretrained=False).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # its start values would hide half of the convolutions
            nn.init.uniform_(module.weight, 0.5, 1.5)
    path = tmp_path_factory.mktemp("weights") / "mine.pth"
    torch.save(network.state_dict(), path)
    return path, network


def test_pixels_are_the_image_at_16_px(split):
    (found,) = pooled_features(find_encoder("pixels"), ["16x16"], [split], image_size=96, seed=0)["16x16"]
    assert found.shape == (5, 3 * 16 * 16)
    np.testing.assert_allclose(found, as_batch(split, 16).flatten(1), atol=1e-6)


def test_features_are_the_networks_maps_averaged_over_all_positions(split, weights, monkeypatch):
    path, network = weights
    encoder = find_encoder("resnet18", weights=str(path), layers=["layer3", "layer4"])
    monkeypatch.setattr(probe_encoders, "BATCH_SIZE", 2)
    found = pooled_features(encoder, encoder.layers, [split, split], image_size=64, seed=0)
    maps = network.forward_intermediates(
        normalize(as_batch(split, 64), *map(list, normalization("resnet18"))), intermediates_only=True
    )
    for layer, expected in zip(("layer3", "layer4"), maps[-2:], strict=True):
        for part in found[layer]:
            np.testing.assert_allclose(part, expected.mean((2, 3)).detach(), atol=1e-4)


def test_random_networks_are_drawn_from_the_seed_and_nothing_else(split):
    encoder = find_encoder("resnet18", pre_trained=False)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    found = [pooled_features(encoder, ["layer3"], [split], image_size=32, seed=seed)["layer3"][0] for seed in (1, 1, 2)]
    assert torch.rand(1) == expected
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 0.1


def test_calibration_gives_batch_norm_the_average_statistics_of_the_batches():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    kept = [parameter.clone() for parameter in network.parameters()]
    batches = [torch.rand(2, 3, 5, 5) * scale for scale in (1.0, 4.0)]
    with torch.no_grad():
        seen = [network[0](batch) for batch in batches]
    calibrate_batch_norm(network, iter(batches))
    torch.testing.assert_close(network[1].running_mean, sum(part.mean((0, 2, 3)) for part in seen) / 2)
    torch.testing.assert_close(network[1].running_var, sum(part.var((0, 2, 3)) for part in seen) / 2)
    assert not any(module.training for module in network.modules())
    assert network[1].momentum == 0.1
    assert all(torch.equal(*pair) for pair in zip(kept, network.parameters(), strict=True))


def test_only_a_random_network_is_calibrated(split, weights, monkeypatch):
    calls = []
    monkeypatch.setattr(probe_encoders, "calibrate_batch_norm", lambda *_: calls.append(1))
    trained = find_encoder("resnet18", weights=str(weights[0]))
    pooled_features(trained, ["layer3"], [split], image_size=32, seed=0)
    assert not calls
    pooled_features(find_encoder("resnet18", pre_trained=False), ["layer3"], [split], image_size=32, seed=0)
    assert calls == [1]


def test_the_default_layer_is_the_last_at_stride_16():
    assert find_encoder("resnet18", pre_trained=False).layers == ("layer3",)
    assert find_encoder("tf_efficientnet_lite0", pre_trained=False).layers == ("blocks.4",)


def test_an_encoder_knows_its_weights(weights, monkeypatch, tmp_path):
    assert find_encoder("pixels") == Encoder("pixels", ("16x16",))
    assert find_encoder("resnet18", pre_trained=False).origin == "random"
    given = find_encoder("resnet18", weights=str(weights[0]))
    assert (given.origin, len(given.sha256)) == ("mine", 64)
    (tmp_path / "manifest.yaml").write_text("- {name: resnet18.simple, file: a.pth}\n- {name: resnet34, file: a.pth}\n")
    (tmp_path / "a.pth").write_bytes(weights[0].read_bytes())
    monkeypatch.setenv("WORKBENCH_WEIGHTS", str(tmp_path))
    assert find_encoder("resnet18.simple").origin == "simple"
    assert find_encoder("resnet34").origin == "imagenet"
    assert find_encoder("resnet18.simple").sha256 == given.sha256


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backbone": "pixels", "layers": ["layer3"]}, "'pixels' has neither layers nor weights"),
        ({"backbone": "resnet18", "weights": "a.pth", "pre_trained": False}, "pre_trained: false ignores it"),
        ({"backbone": "resnet81", "pre_trained": False}, "no architecture 'resnet81'"),
        ({"backbone": "resnet18", "layers": ["layer7"], "pre_trained": False}, "no layer 'layer7'"),
    ],
)
def test_encoders_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        find_encoder(**arguments)


def test_missing_weights_are_told_before_any_work():
    with pytest.raises(WeightsNotFoundError, match=r"no such file .*nowhere\.pth"):
        find_encoder("resnet18", weights="nowhere.pth")


def test_maps_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 7, 7, 96\); expected \(n, 96, h, w\)"):
        probe_encoders._pooled(torch.zeros(2, 7, 7, 96), 96, "swin")
