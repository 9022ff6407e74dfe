"""PatchCore on a vision transformer's tokens: AnomalyDINO's foreground and distances, and what is left out by them."""

import pytest
import torch
from anomalib.models.components import TimmFeatureExtractor
from anomalib.models.image.anomaly_dino import torch_model as stock
from lightning import seed_everything
from sklearn.decomposition import PCA

from extensions import Patchcore
from extensions.models.patchcore.exported import ExportedPatchcore
from extensions.models.patchcore.foreground import first_component, pca_foreground

LAYER = "blocks.3"
SETTINGS = {"layers": [LAYER], "pre_trained": False, "image_size": 96, "num_neighbors": 1, "neighborhood": 1}


def tokens_of_parts(n_images: int = 6, size: tuple[int, int] = (14, 17), n_channels: int = 64) -> torch.Tensor:
    """(N, C, h, w): in each a rectangle whose tokens differ from the others', some turned the other way round."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(n_images, n_channels, *size, generator=generator)
    for number, one in enumerate(maps):
        direction = torch.randn(n_channels, generator=generator)
        part = torch.zeros(size)
        part[2 + number % 3 : 12 - number % 2, 3 : 14 - number] = 1
        one += (30 if number % 2 else -30) * (direction / direction.norm())[:, None, None] * part
    return maps


def test_foreground_is_anomalibs():
    maps = tokens_of_parts()
    expected = stock.AnomalyDINOModel.compute_background_masks(maps.flatten(2).mT.numpy(), (14, 17))
    found = pca_foreground(maps)
    assert found.shape == (6, 1, 14, 17)
    assert torch.equal(found.flatten(1) > 0, torch.from_numpy(expected))
    assert 0.2 < found.mean() < 0.9


def test_first_component_is_scikit_learns():
    tokens = torch.randn(3, 200, 32, generator=torch.Generator().manual_seed(1))
    for found, one in zip(first_component(tokens), tokens, strict=True):
        expected = torch.from_numpy(PCA(n_components=1, svd_solver="full").fit_transform(one.numpy())[:, 0])
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-3)


@pytest.fixture
def anomaly_dino(monkeypatch):
    """Anomalib's AnomalyDINO with foreground, on the small network's random weights."""

    def small(**arguments: object) -> TimmFeatureExtractor:
        return TimmFeatureExtractor(**{**arguments, "backbone": "test_vit", "pre_trained": False})

    monkeypatch.setattr(stock, "TimmFeatureExtractor", small)
    monkeypatch.setattr(stock.AnomalyDINOModel, "_last_block_index", staticmethod(lambda _: 3))

    def build(ours: Patchcore, **arguments: object) -> stock.AnomalyDINOModel:
        model = stock.AnomalyDINOModel(**arguments)
        state = ours.model.feature_extractor.feature_extractor.state_dict()
        model.feature_encoder.feature_extractor.load_state_dict(state)
        return model

    return build


class AsTheyAre(torch.nn.Module):
    """In place of what enlarges and blurs scores of positions."""

    def forward(self, scores: torch.Tensor, _: object) -> torch.Tensor:
        return scores


@pytest.mark.parametrize("foreground", [None, "pca"])
def test_distances_are_anomaly_dinos(foreground, anomaly_dino, bare, monkeypatch):
    seed_everything(0)
    threshold = 10.0 if foreground is None else 2.0  # of random weights
    ours = Patchcore(
        "test_vit", unit_patches=True, foreground=foreground, foreground_threshold=threshold,
        coreset_sampling_ratio=1.0, **SETTINGS, **bare,
    )  # fmt: skip
    theirs = anomaly_dino(ours, masking=foreground is not None)
    masks = stock.AnomalyDINOModel.compute_background_masks
    monkeypatch.setattr(theirs, "compute_background_masks", lambda maps, size: masks(maps, size, threshold=threshold))
    images = torch.rand(4, 3, 224, 224)
    images[:, :, 60:170, 60:170] += 3 * torch.rand(4, 1, 110, 110)
    train, test = images[:3], images[3:]
    for model in (ours.model.train(), theirs.train()):
        model(train)
    theirs.fit()
    ours.model.subsample_embedding(1.0)
    assert len(ours.model.memory_bank) == len(theirs.memory_bank)
    ours.model.anomaly_map_generator, theirs.anomaly_map_generator = AsTheyAre(), AsTheyAre()
    with torch.no_grad():
        expected, found = theirs.eval()(test).anomaly_map, ours.model.eval()(test).anomaly_map
    torch.testing.assert_close(found**2 / 2, expected, atol=1e-5, rtol=1e-4)
    if foreground is not None:
        outside = found == 0
        assert 0 < outside.float().mean() < 1
        assert 20 < len(ours.model.memory_bank) < 3 * 14 * 14


@pytest.fixture
def fitted(bare):
    """A PatchCore with a foreground, and images with parts."""
    seed_everything(0)
    model = Patchcore(
        "test_vit", foreground="pca", foreground_threshold=2.0, unit_patches=True, **{**SETTINGS, "num_neighbors": 3},
        **bare,
    )  # fmt: skip
    images = torch.rand(5, 3, 224, 224)
    images[:, :, 60:170, 60:170] += 3 * torch.rand(5, 1, 110, 110)
    model.model.train()(images[:3])
    model.model.subsample_embedding(0.5)
    return model.model.eval(), images


def test_the_exported_network_leaves_out_the_same(fitted):
    model, images = fitted
    exported = ExportedPatchcore(model, (224, 224))
    with torch.no_grad():
        expected, found = model(images[3:]), exported(images[3:])
    assert (expected.anomaly_map == 0).any()
    torch.testing.assert_close(found.pred_score, expected.pred_score, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.anomaly_map, expected.anomaly_map, atol=1e-4, rtol=1e-4)


def test_an_image_without_foreground_is_scored_whole(fitted):
    model, images = fitted
    with torch.no_grad():
        model.foreground_threshold = 1e6
        whole = model(images)
        model.foreground = None
        expected = model(images)
    assert torch.equal(whole.pred_score, expected.pred_score)
    assert (whole.pred_score > 0).all()


def test_no_foreground_in_any_training_image_is_an_error_that_says_so(fitted):
    model, images = fitted
    model.foreground_threshold = 1e6
    model.train()(images)
    with pytest.raises(
        ValueError, match=r"no foreground in any .*foreground_threshold=1000000\.0.; lower the threshold"
    ):
        model.subsample_embedding(0.5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"foreground": "otsu"}, "foreground is 'otsu'; expected pca"),
        ({"backbone": "resnet18", "layers": None, "foreground": "pca"}, "'resnet18' is none.*leave foreground out"),
        ({"foreground": "pca", "foreground_threshold": -1.0}, "foreground_threshold"),
    ],
)
def test_wrong_settings_are_refused(arguments, said, bare):
    with pytest.raises(ValueError, match=said):
        Patchcore(**{"backbone": "test_vit", **SETTINGS, **arguments}, **bare)


def test_unit_patches_have_length_one(bare):
    model = Patchcore("resnet18", pre_trained=False, image_size=64, unit_patches=True, **bare).model
    model.train()(torch.rand(2, 3, 64, 64))
    model.subsample_embedding(1.0)
    torch.testing.assert_close(model.memory_bank.norm(dim=1), torch.ones(128))
