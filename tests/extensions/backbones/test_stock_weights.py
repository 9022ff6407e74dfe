"""anomalib's own models get the weights that a record names, strictly; outside the block anomalib is as it was."""

from __future__ import annotations

import pytest
import timm
import torch
from anomalib.models.components import TimmFeatureExtractor
from anomalib.models.image.cfa import torch_model as cfa
from safetensors.torch import save_file

from extensions.backbones import WeightsError, WeightsNotFoundError, hub
from extensions.backbones.stock_weights import stock_weights

LAYERS = ("layer1", "layer2", "layer3")
ROW = "- {name: resnet18, file: net.safetensors}\n"


@pytest.fixture
def tensors(folder, manifest) -> dict[str, torch.Tensor]:
    """Weights of a ResNet-18 as the weights folder has them."""
    manifest(ROW)
    torch.manual_seed(5)
    found = timm.create_model("resnet18", pretrained=False, num_classes=0).state_dict()
    save_file(found, folder / "net.safetensors")
    return found


def test_an_extractor_of_anomalibs_holds_what_the_file_holds(tensors):
    with stock_weights():
        extractor = TimmFeatureExtractor("resnet18", ["layer2", "layer3"])
    state = extractor.feature_extractor.state_dict()
    assert {name for name in state if name.startswith("layer3")}
    assert all(torch.equal(value, tensors[name]) for name, value in state.items())


def test_cfa_sees_the_same_maps_as_timm_with_the_same_weights(tensors):
    with stock_weights():
        ours = cfa.get_feature_extractor("resnet18", list(LAYERS))
    network = timm.create_model("resnet18", pretrained=False, features_only=True, out_indices=(1, 2, 3)).eval()
    network.load_state_dict(tensors, strict=False)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        found, expected = ours(images), network(images)
    for layer, maps in zip(LAYERS, expected, strict=True):
        torch.testing.assert_close(found[layer], maps, rtol=1e-5, atol=1e-5)


def test_a_layer_that_the_file_lacks_is_an_error_and_not_random(tensors, folder):
    kept = {name: value for name, value in tensors.items() if not name.startswith(("layer3", "layer4"))}
    save_file(kept, folder / "net.safetensors")
    with stock_weights(), pytest.raises(WeightsError, match=r"missing .*layer3"):
        TimmFeatureExtractor("resnet18", ["layer2", "layer3"])


def test_random_weights_stay_random_where_they_are_asked_for(tensors):
    with stock_weights():
        extractor = TimmFeatureExtractor("resnet18", ["layer2"], pre_trained=False)
    assert not torch.equal(extractor.feature_extractor.state_dict()["conv1.weight"], tensors["conv1.weight"])


def test_a_checkpoint_needs_no_file(folder, manifest, monkeypatch):
    monkeypatch.setattr(timm, "create_model", without_download(timm.create_model))
    with stock_weights(restoring=True):
        assert TimmFeatureExtractor("resnet18", ["layer2"]).out_dims == [128]
        assert cfa.get_feature_extractor("resnet18", list(LAYERS)) is not None


def test_weights_that_are_nowhere_are_asked_for_in_one_sentence(folder, manifest, tmp_path):
    with stock_weights(), pytest.raises(WeightsNotFoundError) as error:
        TimmFeatureExtractor("resnet10t", ["layer2"])
    assert str(error.value).startswith("no weights for backbone 'resnet10t': (1)")
    assert f"models--timm--resnet10t.c3_in1k of another machine's cache into {tmp_path}/hub" in str(error.value)
    assert "a row into its manifest.yaml" in str(error.value)


def test_a_file_that_is_on_no_hub_is_left_to_anomalib_and_all_is_restored(folder, manifest, monkeypatch):
    before = TimmFeatureExtractor.__init__, cfa.get_feature_extractor
    monkeypatch.setattr(timm, "create_model", without_download(timm.create_model))
    monkeypatch.setattr(hub, "address", nowhere)
    with pytest.raises(LookupError, match="asked for a download"), stock_weights():
        TimmFeatureExtractor("resnet10t", ["layer2"])
    assert before == (TimmFeatureExtractor.__init__, cfa.get_feature_extractor)


def nowhere(backbone):
    message = f"timm has no address for {backbone}"
    raise WeightsNotFoundError(message)


def without_download(create):
    """timm's factory, which raises where it would look for weights."""

    def build(*args, pretrained=False, **kwargs):
        if pretrained:
            message = "asked for a download"
            raise LookupError(message)
        return create(*args, pretrained=False, **kwargs)

    return build
