"""Features of training images: computed once, the same as the network's, shared with a detector."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from extensions import Folder, Patchcore
from extensions.backbones.frozen import FrozenFeatureExtractor
from extensions.cache import open_cache
from extensions.cache.store import WorkCache
from extensions.models.common.cached_run import CachedRun
from extensions.refinement.training_features import training_features


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    import timm

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(timm.create_model("resnet18", pretrained=False).state_dict(), path)
    return path


@pytest.fixture
def data(tiny_root):
    def build(**changes) -> Folder:
        folders = {"normal_dir": "train/good", "normal_test_dir": "test/good", "abnormal_dir": "test/bad"}
        return Folder(name="tiny", root=tiny_root, mask_dir="mask/bad", num_workers=0, **(folders | changes))

    return build


@pytest.fixture
def seen(monkeypatch) -> list[int]:
    """How many images the backbone was given, a call at a time."""
    counted: list[int] = []
    compute = FrozenFeatureExtractor.compute

    def counting(self, images):
        counted.append(len(images))
        return compute(self, images)

    monkeypatch.setattr(FrozenFeatureExtractor, "compute", counting)
    return counted


def test_patches_lie_on_the_coarsest_grid_named_by_image(data, weights):
    found = training_features(data(), weights=weights, image_size=64)
    assert found.grid == (4, 4)
    assert found.patches.shape == (8, 16, 128 + 256)
    assert found.patches.dtype == np.float32
    assert found.embeddings.shape == (8, 2 * 384)
    assert found.names == [f"train/good/{index:03}.png" for index in range(8)]
    assert len({row.tobytes() for row in found.patches}) == 8


def test_patches_are_averaged_maps_of_the_network(data, weights):
    given = data()
    found = training_features(given, weights=weights, image_size=64, layers=["layer3"])
    model = Patchcore(backbone="resnet18", weights=weights, layers=["layer3"], image_size=64)
    given.setup()
    images = torch.stack([given.train_data[index].image for index in range(8)])
    maps = model.model.feature_extractor.compute(model.pre_processor.transform(images))["layer3"]
    expected = torch.nn.functional.avg_pool2d(maps, 3, 1, 1).flatten(2).transpose(1, 2)
    np.testing.assert_allclose(found.patches, expected.detach().numpy(), atol=1e-5)


def test_features_are_computed_once(data, weights, seen):
    first = training_features(data(), weights=weights, image_size=64)
    assert (sum(seen), first.n_computed) == (8, 8)
    second = training_features(data(), weights=weights, image_size=64)
    assert (sum(seen), second.n_computed) == (8, 0)
    np.testing.assert_array_equal(first.patches, second.patches)


def test_a_detector_with_the_same_backbone_finds_them(data, weights, seen):
    training_features(data(), weights=weights, image_size=64)
    given = data()
    given.setup()
    model = Patchcore(backbone="resnet18", weights=weights, layers=["layer2", "layer3"], image_size=64)
    CachedRun(open_cache(), given, model).prepare("train")
    assert sum(seen) == 8


def test_without_a_cache_the_features_are_the_same(data, weights):
    cached = training_features(data(), weights=weights, image_size=64)
    without = training_features(data(), weights=weights, image_size=64, cache=WorkCache(None))
    assert without.n_computed == 8
    np.testing.assert_array_equal(without.patches, cached.patches)


def test_augmentations_of_training_do_not_reach_the_ranking(data, weights):
    plain = training_features(data(), weights=weights, image_size=64)
    augmented = data(train_augmentations=v2.RandomVerticalFlip(1.0))
    np.testing.assert_array_equal(training_features(augmented, weights=weights, image_size=64).patches, plain.patches)


def test_the_state_of_the_random_generators_is_left_alone(data, weights):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    training_features(data(), weights=weights, image_size=64)
    assert torch.rand(1) == expected
