"""The one-class SVM of three models: equal to scikit-learn, from an autoencoder's checkpoint, without a map."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import seed_everything
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import OneClassSVM

from extensions import AutoencoderOcSvm, BackboneOcSvm, ConvAutoencoder, Stfpm
from extensions.models.common.one_class_svm import OneClassSvm
from extensions.runtime.openvino_core import openvino_core

TINY = {"latent_dim": 4, "image_size": 64}


def scikit_learn(train, test, **arguments):
    """Minus the decision function of a scaled OneClassSVM."""
    scaler = MinMaxScaler().fit(train.double().numpy())
    svm = OneClassSVM(**arguments).fit(scaler.transform(train.double().numpy()))
    return -svm.decision_function(scaler.transform(test.double().numpy()))


def training_images(tiny_root):
    from PIL import Image

    arrays = [np.asarray(Image.open(path)) for path in sorted((tiny_root / "train").rglob("*.png"))]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 255


@pytest.fixture(scope="module")
def autoencoder(bare, engine, tiny_folder):
    """A trained autoencoder and its checkpoint."""
    seed_everything(0)
    model, trained = ConvAutoencoder(**TINY, lr=0.01, **bare), engine(max_epochs=3)
    trained.fit(model, datamodule=tiny_folder())
    return model, trained.best_model_path


@pytest.mark.parametrize("gamma", ["scale", "auto", 0.3])
@pytest.mark.parametrize(("n", "n_dimensions", "nu"), [(200, 128, 0.1), (30, 3, 0.9), (400, 16, 0.01)])
def test_scores_equal_scikit_learn(gamma, n, n_dimensions, nu):
    drawn = torch.Generator().manual_seed(n)
    train = 5 + 3 * torch.randn(n, n_dimensions, generator=drawn)
    train[:, 0] = 7  # a number that never changes is not divided by 0
    test = torch.cat([train[:10], 5 + 6 * torch.randn(50, n_dimensions, generator=drawn)])
    svm = OneClassSvm(nu=nu, gamma=gamma)
    svm.fit(train)
    np.testing.assert_allclose(svm(test), scikit_learn(train, test, nu=nu, gamma=gamma), atol=1e-5, rtol=0)


def test_a_fitted_svm_goes_into_an_empty_one_as_plain_tensors():
    train = torch.rand(20, 3, generator=torch.Generator().manual_seed(0))
    svm, other = OneClassSvm(nu=0.2, gamma="scale"), OneClassSvm(nu=0.9, gamma="auto")
    with pytest.raises(RuntimeError, match="has not been fitted"):
        svm(train)
    svm.fit(train)
    other.load_state_dict(svm.state_dict())
    assert torch.equal(other(train), svm(train))


def test_numbers_that_cannot_be_are_refused():
    for wrong in ({"nu": 0}, {"nu": 1.1}):
        with pytest.raises(ValueError, match=f"nu is {wrong['nu']}"):
            OneClassSvm(**wrong, gamma="scale")
    with pytest.raises(ValueError, match="gamma is 'rbf'; expected scale, auto or a number"):
        OneClassSvm(nu=0.1, gamma="rbf")
    with pytest.raises(ValueError, match="at least 2 training images with finite features, found 3, 1 of them"):
        OneClassSvm(nu=0.1, gamma="scale").fit(torch.tensor([[0.0], [1.0], [float("nan")]]))


def test_its_own_training_and_a_checkpoint_of_the_same_one_give_the_same_scores_and_map(
    autoencoder, bare, engine, tiny_folder, tiny_root, images, raw_scores
):
    model, checkpoint = autoencoder
    seed_everything(0)
    own = AutoencoderOcSvm(**TINY, lr=0.01, nu=0.3, **bare)
    engine(max_epochs=3).fit(own, datamodule=tiny_folder())
    given = AutoencoderOcSvm(checkpoint, **TINY, nu=0.3, **bare)
    engine(max_epochs=50).fit(given, datamodule=tiny_folder())
    for key, tensor in model.model.state_dict().items():
        assert torch.equal(own.model.state_dict()[key], tensor), key
        assert torch.equal(given.model.state_dict()[key], tensor), key
    found = raw_scores(own, images)
    torch.testing.assert_close(raw_scores(given, images).pred_score, found.pred_score)
    assert torch.equal(found.anomaly_map, raw_scores(model, images).anomaly_map)
    with torch.no_grad():
        latents = [own.model.encode(images) for images in (training_images(tiny_root), images)]
    np.testing.assert_allclose(found.pred_score, scikit_learn(*latents, nu=0.3, gamma="scale"), atol=1e-5)
    assert own.label_free_threshold[0] == 0
    assert "sign" in own.label_free_threshold[1]


def test_a_reloaded_model_needs_no_autoencoder_checkpoint_any_more(
    autoencoder, bare, engine, tiny_folder, tmp_path, images, raw_scores
):
    copy = tmp_path / "autoencoder.ckpt"
    copy.write_bytes(Path(autoencoder[1]).read_bytes())
    model, trained = AutoencoderOcSvm(copy, **TINY, **bare), engine()
    trained.fit(model, datamodule=tiny_folder())
    copy.unlink()
    again = AutoencoderOcSvm.load_from_checkpoint(trained.best_model_path, **bare)
    assert torch.equal(raw_scores(again, images).pred_score, raw_scores(model, images).pred_score)
    deferred = AutoencoderOcSvm(copy, **TINY, **bare)
    engine().predict(deferred, datamodule=tiny_folder(), ckpt_path=trained.best_model_path)
    with pytest.raises(FileNotFoundError, match=r"autoencoder.ckpt: there is no such file"):
        engine().fit(AutoencoderOcSvm(copy, **TINY, **bare), datamodule=tiny_folder())


def test_a_checkpoint_that_does_not_fit_is_one_clear_error(autoencoder, bare, engine, tiny_folder, tmp_path):
    with pytest.raises(ValueError, match="build the model with latent_dim=4, image_size=64"):
        AutoencoderOcSvm(autoencoder[1], latent_dim=5, image_size=64, **bare)
    other = tmp_path / "other.ckpt"
    torch.save({"state_dict": {"model.student.weight": torch.zeros(1)}}, other)
    with pytest.raises(ValueError, match=r"it has no .*, so it is of another model"):
        AutoencoderOcSvm(other, **TINY, **bare)
    torch.save({"state_dict": Stfpm}, other)  # a class: reading it would run code
    with pytest.raises(ValueError, match="not a checkpoint of plain tensors"):
        AutoencoderOcSvm(other, **TINY, **bare)


def test_the_pre_processor_of_the_checkpoint_is_taken(bare, engine, tiny_folder):
    model, trained = ConvAutoencoder(4, image_size=96, center_crop=64, **bare), engine()
    trained.fit(model, datamodule=tiny_folder())
    given = AutoencoderOcSvm(trained.best_model_path, latent_dim=4, image_size=64, **bare)
    resize, crop = given.pre_processor.transform.transforms
    assert (list(resize.size), list(crop.size)) == ([96, 96], [64, 64])


def test_thresholds_that_anomalib_shows_are_those_of_the_finished_svm(bare, engine, tiny_folder, images):
    seed_everything(0)
    model = AutoencoderOcSvm(**TINY, **{**bare, "post_processor": True})
    trained = engine(max_epochs=2, limit_val_batches=1.0)
    trained.fit(model, datamodule=tiny_folder())
    with torch.no_grad():
        scores = model.model.eval()(images).pred_score
    for one in (model, AutoencoderOcSvm.load_from_checkpoint(trained.best_model_path, evaluator=False)):
        assert float(one.post_processor.image_min) == pytest.approx(float(scores.min()), abs=1e-5)
        assert float(one.post_processor.image_max) == pytest.approx(float(scores.max()), abs=1e-5)
        assert scores.min() <= one.post_processor.image_threshold <= scores.max()


def test_pooled_features_of_a_backbone_are_scored_as_scikit_learn_does(
    bare, engine, tiny_folder, tiny_root, images, raw_scores
):
    seed_everything(0)
    model = BackboneOcSvm("test_resnet", ["layer2", "layer3"], pre_trained=False, image_size=64, nu=0.4, **bare)
    engine().fit(model, datamodule=tiny_folder())
    engine().fit(model, datamodule=tiny_folder())  # starts again
    pooled = []
    for batch in (training_images(tiny_root), images):
        with torch.no_grad():
            maps = model.model.feature_extractor(model.pre_processor.transform(batch))
        pooled.append(torch.cat([maps["layer2"].mean((2, 3)), maps["layer3"].mean((2, 3))], dim=1))
    assert pooled[0].shape == (8, 240)
    found = raw_scores(model, images).pred_score
    # Random features hardly differ between images, so that scaling enlarges what batches of 4 and of 8 differ by.
    np.testing.assert_allclose(found, scikit_learn(*pooled, nu=0.4, gamma="scale"), atol=1e-3)


@pytest.mark.parametrize("name", ["AutoencoderOcSvm", "BackboneOcSvm"])
def test_openvino_scores_match_torch_for_any_number_of_images(
    name, bare, engine, tiny_folder, images, raw_scores, tmp_path
):
    seed_everything(0)
    if name == "AutoencoderOcSvm":
        model = AutoencoderOcSvm(**TINY, **bare)
    else:
        model = BackboneOcSvm("test_resnet", pre_trained=False, image_size=64, **bare)
    trained = engine()
    trained.fit(model, datamodule=tiny_folder())
    xml = trained.export(model, "openvino", export_root=tmp_path, onnx_kwargs={"opset_version": 18})
    compiled = openvino_core().compile_model(xml, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    expected = raw_scores(model, images)
    for n in (1, 3, 8):
        found = compiled(images[:n].numpy())
        np.testing.assert_allclose(found["pred_score"], expected.pred_score[:n], atol=1e-4)
        if name == "AutoencoderOcSvm":
            np.testing.assert_allclose(found["anomaly_map"], expected.anomaly_map[:n], atol=1e-5)
