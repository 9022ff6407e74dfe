import copy

import pytest
import torch

from extensions.backbones import openvino_runner
from extensions.backbones.frozen import FrozenFeatureExtractor, feature_engine

LAYERS = ["layer1", "layer2"]


def extractor(seed: int = 0, layers: list[str] = LAYERS) -> FrozenFeatureExtractor:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return FrozenFeatureExtractor("resnet18", layers, pre_trained=False).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 3, 64, 48, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def through_openvino(monkeypatch) -> None:
    monkeypatch.setenv("WORKBENCH_FEATURES", "openvino")


@pytest.fixture
def through_torch(monkeypatch):
    def compute(network, images):
        with monkeypatch.context() as patch:
            patch.setenv("WORKBENCH_FEATURES", "torch")
            return network.compute(images)

    return compute


def test_features_through_openvino_are_those_of_torch(through_openvino, through_torch, images):
    network = extractor()
    found, expected = network(images), through_torch(network, images)
    assert network.engine == "openvino"
    assert list(found) == LAYERS
    for layer in LAYERS:
        torch.testing.assert_close(found[layer], expected[layer], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(64, 64), (75, 101)])
def test_padding_that_depends_on_the_size_is_right_at_every_size(size, through_openvino, through_torch):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = FrozenFeatureExtractor("tf_efficientnet_lite0", ["blocks.1", "blocks.2"], pre_trained=False).eval()
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))
    found, expected = network(images), through_torch(network, images)
    for layer, feature in expected.items():
        torch.testing.assert_close(found[layer], feature, rtol=1e-3, atol=1e-4 * float(feature.abs().max()))


def test_a_size_at_which_openvino_differs_comes_from_torch(
    through_openvino, through_torch, monkeypatch, images, caplog
):
    network = extractor(8)
    network(images)
    runner = network._runner
    monkeypatch.setattr(
        network, "_runner", lambda batch: {layer: feature + 1 for layer, feature in runner(batch).items()}
    )
    other = images[..., :40]
    torch.testing.assert_close(network(other)["layer1"], through_torch(network, other)["layer1"])
    assert "at 64 x 40 px come from torch" in caplog.text


def test_other_weights_give_other_features_at_once(through_openvino, through_torch, images):
    network, other = extractor(0), extractor(1)
    before = network(images)
    network.feature_extractor.load_state_dict(other.feature_extractor.state_dict())
    after = network(images)
    assert not torch.allclose(before["layer2"], after["layer2"], atol=1e-3)
    torch.testing.assert_close(after["layer2"], through_torch(other, images)["layer2"], rtol=1e-4, atol=1e-4)


def test_networks_of_one_depth_share_a_conversion(through_openvino, monkeypatch, images):
    expected = extractor(7)(images)["layer2"]
    monkeypatch.setattr(openvino_runner, "_build", lambda *_: pytest.fail("converted again"))
    found = extractor(7, ["layer2"])(images)
    torch.testing.assert_close(found["layer2"], expected)


def test_a_deeper_network_with_the_same_tensors_has_a_conversion_of_its_own(through_openvino, through_torch, images):
    def build(layers):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return FrozenFeatureExtractor("tf_efficientnet_lite0", layers, pre_trained=False).eval()

    shallow, deep = build(["blocks.1"]), build(["blocks.1", "blocks.6"])
    assert shallow.identity() == deep.identity()
    shallow(images)
    found, expected = deep(images)["blocks.6"], through_torch(deep, images)["blocks.6"]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_torch_computes_where_openvino_is_slower_or_differs(through_openvino, monkeypatch, images):
    slower = {"difference": 0.0, "agrees": True, "faster": False, "ms_per_image": {}}
    monkeypatch.setattr(openvino_runner, "_compare", lambda *_: slower)
    network = extractor(3)
    assert network.engine == "openvino"
    monkeypatch.setenv("WORKBENCH_FEATURES", "auto")
    assert extractor(3).engine == "torch"
    monkeypatch.setattr(openvino_runner, "_compare", lambda *_: slower | {"agrees": False, "faster": True})
    assert extractor(4).engine == "torch"


def test_features_that_are_no_numbers_agree_with_nothing_wherever_they_stand():
    class Two(torch.nn.Module):
        def forward(self, images):
            return [images.mean(dim=1), images.mean(dim=2)]

    def runner(images):
        return {"first": images.mean(dim=1), "second": images.mean(dim=2) * float("nan")}

    assert not openvino_runner._compare(Two(), runner)["agrees"]


def test_what_openvino_cannot_convert_comes_from_torch_with_a_word(through_openvino, monkeypatch, caplog, images):
    def fail(*_):
        raise RuntimeError("no such operator")

    monkeypatch.setattr(openvino_runner, "_build", fail)
    assert extractor(5)(images)["layer1"].shape == (3, 64, 16, 12)
    assert "no such operator" in caplog.text


def test_half_precision_and_gradients_stay_with_torch(through_openvino, images):
    assert extractor(6).half()(images.half())["layer1"].dtype == torch.float16
    network = extractor(6)
    network.requires_grad = True
    assert network(images)["layer1"].requires_grad


def test_a_copy_computes_the_same(through_openvino, images):
    network = extractor()
    expected = network(images)["layer1"]
    torch.testing.assert_close(copy.deepcopy(network)(images)["layer1"], expected)


def test_an_unknown_engine_is_refused(monkeypatch):
    monkeypatch.setenv("WORKBENCH_FEATURES", "onnx")
    with pytest.raises(ValueError, match="expected one of auto, openvino, torch"):
        feature_engine()
