"""PaDiM: the Gaussians of stock anomalib, a number of features for every backbone, and refits."""

import anomalib.models
import numpy as np
import pytest
import torch
from lightning import seed_everything

from extensions import Padim
from extensions.models.common.pre_processor import default_pre_processor
from extensions.models.padim.exported import ExportedPadim
from extensions.models.padim.torch_model import _inverse, derive_n_features, fit_gaussians


def test_scores_equal_anomalibs_after_the_same_seed(bare, engine, tiny_folder, images, raw_scores):
    predicted = []
    for build in (anomalib.models.Padim, Padim):
        seed_everything(3)
        pre_processor = default_pre_processor("resnet18", image_size=64)
        layers = ["layer1", "layer2", "layer3"]
        model = build("resnet18", layers, pre_trained=False, n_features=30, **bare, pre_processor=pre_processor)
        engine().fit(model, datamodule=tiny_folder())
        predicted.append(raw_scores(model, images))
    torch.testing.assert_close(predicted[1].pred_score, predicted[0].pred_score.flatten(), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(predicted[1].anomaly_map, predicted[0].anomaly_map, atol=1e-4, rtol=1e-5)


def test_gaussians_equal_numpys_at_every_position():
    embeddings = torch.rand(12, 5, 7, generator=torch.Generator().manual_seed(0))
    mean, inverse = fit_gaussians(embeddings.split([4, 1, len(embeddings) - 5]), n_positions=3)
    for position in range(7):
        covariance = np.cov(embeddings[:, :, position].double().numpy(), rowvar=False) + 0.01001 * np.eye(5)
        np.testing.assert_allclose(mean[:, position], embeddings[:, :, position].mean(0), rtol=1e-6)
        np.testing.assert_allclose(inverse[position], np.linalg.inv(covariance), rtol=1e-3, atol=1e-3)


def test_one_training_image_is_an_error():
    with pytest.raises(ValueError, match="at least 2 training images"):
        fit_gaussians([torch.rand(1, 5, 7)])


def test_second_fit_replaces_the_gaussians(bare, engine, tiny_folder):
    model = Padim("resnet18", pre_trained=False, image_size=64, n_features=10, **bare)
    engine().fit(model, datamodule=tiny_folder())
    first = model.model.gaussian.mean.clone()
    engine().fit(model, datamodule=tiny_folder(normal_dir="test/good", normal_test_dir="train/good"))
    assert not torch.equal(model.model.gaussian.mean, first)
    assert model.model.memory_bank == []


def test_export_agrees_where_a_layer_gives_no_feature(bare, engine, tiny_folder, images):
    model = Padim("resnet18", pre_trained=False, image_size=64, n_features=2, **bare)  # of three layers
    engine().fit(model, datamodule=tiny_folder())
    network = model.model.eval().cpu()
    seen = model.pre_processor.transform(images)
    with torch.no_grad():
        expected, found = network(seen), ExportedPadim(network, (64, 64))(seen)
    torch.testing.assert_close(found.anomaly_map, expected.anomaly_map, atol=1e-4, rtol=1e-4)


def test_number_of_features_is_the_papers_else_100_else_all():
    assert derive_n_features("resnet18.tv_in1k", ["layer1"], 448) == 100
    assert derive_n_features("wide_resnet50_2", ["layer1"], 1792) == 550
    assert derive_n_features("cspdarknet53", ["stages.1"], 896) == 100
    assert derive_n_features("resnet18", ["layer1"], 64) == 64


def test_more_features_than_channels_is_an_error():
    with pytest.raises(ValueError, match="layer1 of resnet18 have 64 channels together: choose 1 to 64"):
        Padim("resnet18", ["layer1"], pre_trained=False, n_features=65)


@pytest.mark.parametrize("size", [(8, 8), (5, 14), (13, 9)])
def test_distances_and_embeddings_are_those_of_anomalib(size):
    from anomalib.models.image.padim.anomaly_map import AnomalyMapGenerator as Stock
    from anomalib.models.image.padim.torch_model import PadimModel as StockModel

    torch.manual_seed(0)
    model = Padim("resnet18", ["layer1", "layer2"], pre_trained=False, n_features=20, image_size=64).model
    half = (-(-size[0] // 2), -(-size[1] // 2))
    features = {"layer1": torch.randn(3, 64, *size), "layer2": torch.randn(3, 128, *half)}
    embedding = model.generate_embedding(features)
    torch.testing.assert_close(embedding, StockModel.generate_embedding(model, features), rtol=0, atol=0)
    n_positions = size[0] * size[1]
    roots = torch.randn(n_positions, 20, 20)
    stats = [torch.randn(20, n_positions), roots @ roots.mT]
    with torch.inference_mode():
        found = model.anomaly_map_generator.compute_distance(embedding, stats)
    assert found.shape == (3, 1, *size)
    torch.testing.assert_close(found, Stock.compute_distance(embedding, stats), rtol=1e-6, atol=0)


def test_a_covariance_that_is_not_definite_is_inverted_as_anomalib_does():
    covariances = torch.tensor([[[2.0, 1.0], [1.0, 2.0]], [[1.0, 2.0], [2.0, 1.0]]])
    torch.testing.assert_close(_inverse(covariances), torch.linalg.inv(covariances))
