"""RegAD: what it loads, what it fits to, and that the network exported for one size scores as it does."""

import pytest
import torch
from safetensors.torch import save_file

from extensions import RegAd
from extensions.backbones import WeightsError, WeightsNotFoundError
from extensions.models.common.support_views import support_views
from extensions.models.reg_ad.network import RegistrationNetwork
from extensions.runtime.openvino_core import openvino_core
from inference.export.network import write_onnx
from inference.model.preprocessing import preprocessing_of


@pytest.fixture
def weights_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_WEIGHTS", str(tmp_path))
    return tmp_path


def trained_network(layers: list[str] | None = None, **settings: str) -> RegistrationNetwork:
    """A network whose transformers turn and scale every image in its own way."""
    torch.manual_seed(1)
    network = RegistrationNetwork("resnet18", layers, **settings).eval()
    for transformer in network.extractor.transformers:
        torch.nn.init.normal_(transformer.regression[-1].weight, std=0.2)
    return network


def test_features_are_those_of_the_registration(weights_folder, bare, images):
    network = trained_network()
    (weights_folder / "reg_ad").mkdir()
    save_file(network.state_dict(), weights_folder / "reg_ad/others.safetensors")
    model = RegAd(registration="reg_ad/others.safetensors", image_size=64, **bare)
    with torch.no_grad():
        expected, found = network.registered(images), model.model.feature_extractor.registered(images)
    for layer, maps in expected.items():
        assert torch.equal(found[layer], maps)
    assert model.backbone_weights.source == "file others.safetensors"


def test_gaussians_are_of_the_views_of_the_training_images(bare, engine, tiny_folder):
    model = RegAd(pre_trained=False, image_size=64, **bare)
    engine(limit_train_batches=1).fit(model, datamodule=tiny_folder(train_batch_size=2))
    assert model.model.gaussian.factor.shape == (256, 44, 44)
    plain = RegAd(pre_trained=False, image_size=64, support_views=False, **bare)
    engine().fit(plain, datamodule=tiny_folder())
    assert plain.model.gaussian.factor.shape == (256, 8, 8)
    assert plain.model.memory_bank == []


def test_a_file_that_does_not_fit_is_refused_in_one_sentence(weights_folder, bare):
    save_file(trained_network(["layer1", "layer2"]).state_dict(), weights_folder / "two.safetensors")
    with pytest.raises(WeightsError, match=r"two\.safetensors: not a registration network .* missing \d+ tensors"):
        RegAd(registration="two.safetensors", **bare)
    save_file(trained_network(transformer="affine").state_dict(), weights_folder / "affine.safetensors")
    with pytest.raises(WeightsError, match=r"another shape \(found \(6, 1024\), expected \(3, 1024\)\)"):
        RegAd(registration="affine.safetensors", **bare)
    assert RegAd(registration="affine.safetensors", transformer="affine", **bare).backbone_weights is not None
    with pytest.raises(ValueError, match="drop one of the two"):
        RegAd(registration="two.safetensors", weights="own.safetensors", **bare)


def test_a_file_that_is_not_there_is_an_error_at_the_first_use(weights_folder, bare):
    model = RegAd(registration="none.safetensors", image_size=64, **bare)
    with pytest.raises(WeightsNotFoundError, match=r"no such file .*none\.safetensors"):
        model(torch.zeros(1, 3, 64, 64))


def test_a_file_with_another_checksum_than_its_row_is_refused(weights_folder, bare):
    save_file(trained_network().state_dict(), weights_folder / "own.safetensors")
    row = "- {name: resnet18.own, file: own.safetensors, sha256: '" + "0" * 64 + "', license: x, how_made: x}\n"
    (weights_folder / "manifest.yaml").write_text(row)
    with pytest.raises(WeightsError, match="expected 0000"):
        RegAd(registration="own.safetensors", **bare)


@torch.no_grad()
def test_exported_network_and_its_openvino_form_score_as_the_model(weights_folder, bare, images, raw_scores):
    save_file(trained_network().state_dict(), weights_folder / "own.safetensors")
    model = RegAd(registration="own.safetensors", image_size=(64, 56), **bare)
    prepared = model.pre_processor.transform(images)
    model.model.train()
    for image in prepared[:2]:
        model.model(support_views(image[None]))
    model.model.fit()
    expected = raw_scores(model, images)
    network = model.model.exportable((64, 56))(prepared)
    torch.testing.assert_close(network.anomaly_map, expected.anomaly_map, atol=1e-4, rtol=1e-5)
    write_onnx(model, preprocessing_of(model), weights_folder / "model.onnx")
    compiled = openvino_core().compile_model(weights_folder / "model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    scores, maps = compiled([(images.permute(0, 2, 3, 1) * 255).round().byte().numpy()]).values()
    torch.testing.assert_close(torch.from_numpy(maps), expected.anomaly_map, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(torch.from_numpy(scores), expected.pred_score, atol=1e-3, rtol=1e-4)
    with pytest.raises(ValueError, match="feature maps of 16 x 14, but images of 96 x 96 px give 24 x 24"):
        model.model.exportable((96, 96))
