"""DFM: the scores and maps of stock anomalib, the PCA of scikit-learn, several layers, and every size of a map."""

import anomalib.models
import numpy as np
import pytest
import torch
from lightning import seed_everything
from sklearn import decomposition

from extensions import Dfm
from extensions.models.common.pre_processor import default_pre_processor
from extensions.models.dfm.torch_model import PrincipalComponents

SETTINGS = {"pre_trained": False, "pooling_kernel_size": 2, "pca_level": 0.9}


def test_scores_and_maps_equal_anomalibs_with_as_many_components(bare, engine, tiny_folder, images, raw_scores):
    predicted = []
    for build, layer in ((anomalib.models.Dfm, {"layer": "layer2"}), (Dfm, {"layers": ["layer2"]})):
        seed_everything(3)
        pre_processor = default_pre_processor("resnet18", image_size=64)
        model = build("resnet18", **layer, **SETTINGS, **bare, pre_processor=pre_processor)
        engine().fit(model, datamodule=tiny_folder())
        if predicted:  # anomalib keeps one less than it takes to reach the level
            pca = model.model.pca_model
            pca.singular_vectors = pca.singular_vectors[:, :-1]
        predicted.append(raw_scores(model, images.contiguous()))  # anomalib takes no others
    torch.testing.assert_close(predicted[1].pred_score, predicted[0].pred_score, atol=0, rtol=1e-4)
    torch.testing.assert_close(predicted[1].anomaly_map, predicted[0].anomaly_map, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("shape", [(12, 40), (40, 12)])
@pytest.mark.parametrize("level", [0.5, 0.97, 1.0])
def test_what_the_pca_restores_is_what_scikit_learns_does(shape, level):
    draw = np.random.default_rng(0)
    samples = (draw.normal(size=shape) * np.linspace(5, 0.1, shape[1]) + 3).astype(np.float32)
    new = draw.normal(size=(5, shape[1])).astype(np.float32)
    ours, theirs = PrincipalComponents(level), decomposition.PCA(level if level < 1 else None, svd_solver="full")
    ours.fit(torch.from_numpy(samples))
    found = ours.inverse_transform(ours.transform(torch.from_numpy(new.copy()))) + ours.mean
    n_kept = min(theirs.fit(samples.astype(np.float64)).n_components_, min(shape[0] - 1, shape[1]))
    assert ours.num_components.tolist() == [n_kept]
    basis = theirs.components_[:n_kept]
    expected = (new - theirs.mean_) @ basis.T @ basis + theirs.mean_
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_pca_leaves_the_data_as_it_is():
    samples = torch.rand(4, 6)
    before = samples.clone()
    PrincipalComponents(0.9).fit(samples)
    assert torch.equal(samples, before)


@pytest.mark.parametrize(
    ("samples", "n"), [(torch.rand(1, 6), "1 training image,"), (torch.ones(3, 6), "3 training images,")]
)
def test_too_few_or_equal_images_are_an_error(samples, n):
    with pytest.raises(ValueError, match=f"DFM found {n} with no difference .* expected at least 2 that differ"):
        PrincipalComponents(0.97).fit(samples)


def test_several_layers_are_joined_on_the_grid_of_the_last(bare, engine, tiny_folder, images, raw_scores):
    model = Dfm("resnet18", ["layer1", "layer2"], **SETTINGS, image_size=64, **bare)
    engine().fit(model, datamodule=tiny_folder())
    assert model.model.pca_model.mean.shape == ((64 + 128) * 4 * 4,)
    found = raw_scores(model, images)
    assert found.anomaly_map.shape == (8, 1, 64, 64)


def test_a_map_that_the_pooling_does_not_divide_is_used_to_its_edge(bare, engine, tiny_folder, images):
    model = Dfm("resnet18", ["layer2"], **SETTINGS | {"pooling_kernel_size": 3}, image_size=64, **bare)
    engine().fit(model, datamodule=tiny_folder())
    network, seen = model.model.eval(), model.pre_processor.transform(images)
    assert network.pooled_features(seen).shape[-2:] == (3, 3)  # of 8 x 8, where anomalib has 2 x 2
    with torch.no_grad():
        before = network(seen).pred_score
        seen[..., -6:, -6:] += 5
        assert not torch.allclose(network(seen).pred_score, before)


@pytest.mark.parametrize("wrong", [{"pooling_kernel_size": 0}, {"pca_level": 0.0}, {"pca_level": 30}])
def test_a_number_out_of_range_is_named(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is {next(iter(wrong.values()))}; expected"):
        Dfm("resnet18", **SETTINGS | wrong)


def test_a_second_fit_replaces_the_first(bare, engine, tiny_folder):
    model = Dfm("resnet18", **SETTINGS, image_size=64, **bare)
    engine().fit(model, datamodule=tiny_folder())
    first = model.model.pca_model.mean.clone()
    engine().fit(model, datamodule=tiny_folder(normal_dir="test/good", normal_test_dir="train/good"))
    assert not torch.equal(model.model.pca_model.mean, first)
    assert model.model.memory_bank == []
