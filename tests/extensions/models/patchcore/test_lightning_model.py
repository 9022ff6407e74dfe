"""PatchCore: the bank of stock anomalib, refits, and refuses what cannot work."""

import anomalib.models
import pytest
import torch
from lightning import seed_everything

from extensions import Patchcore
from extensions.models.common.pre_processor import default_pre_processor

SETTINGS = {"pre_trained": False, "coreset_sampling_ratio": 0.1, "num_neighbors": 3}


def test_bank_and_scores_equal_anomalibs_after_the_same_seed(bare, engine, tiny_folder, images, raw_scores):
    fitted = []
    for build in (anomalib.models.Patchcore, Patchcore):
        seed_everything(3)
        pre_processor = default_pre_processor("test_resnet", image_size=64)
        model = build("test_resnet", ["layer2", "layer3"], **SETTINGS, **bare, pre_processor=pre_processor)
        engine().fit(model, datamodule=tiny_folder())
        fitted.append(model)
    stock, ours = fitted
    assert torch.equal(ours.model.memory_bank, stock.model.memory_bank)
    expected, predicted = raw_scores(stock, images), raw_scores(ours, images)
    torch.testing.assert_close(predicted.pred_score, expected.pred_score, atol=1e-5, rtol=0)
    torch.testing.assert_close(predicted.anomaly_map, expected.anomaly_map, atol=1e-5, rtol=0)


def test_second_fit_replaces_the_bank(bare, engine, tiny_folder):
    model = Patchcore("test_resnet", image_size=64, **SETTINGS, **bare)
    engine().fit(model, datamodule=tiny_folder())
    assert model.model.memory_bank.shape[0] == 8 * 8 * 8 // 10
    engine().fit(model, datamodule=tiny_folder(normal_dir="test/good", normal_test_dir="train/good"))
    assert model.model.memory_bank.shape[0] == 4 * 8 * 8 // 10
    assert len(model.model.embedding_store) == 0


def test_more_neighbors_than_the_bank_has_patches_is_an_error(bare, engine, tiny_folder):
    model = Patchcore("test_resnet", image_size=64, pre_trained=False, coreset_sampling_ratio=0.01, **bare)
    with pytest.raises(ValueError, match="keeps 5 of 512 patches, fewer than num_neighbors=9"):
        engine().fit(model, datamodule=tiny_folder())


@pytest.mark.parametrize(
    ("init_args", "message"),
    [
        ({"coreset_sampling_ratio": 0}, "coreset_sampling_ratio is 0"),
        ({"coreset_sampling_ratio": 1.5}, "coreset_sampling_ratio is 1.5"),
        ({"num_neighbors": 0}, "num_neighbors is 0"),
        ({"neighborhood": 2}, "neighborhood is 2"),
        ({"neighborhood": 4}, "neighborhood is 4"),
        ({"precision": "bfloat16"}, "float32, float16"),
        ({"max_memory_bytes": -1}, "max_memory_bytes is -1"),
        ({"weights": "some.pth"}, "pre_trained=False ignores it"),
        ({"image_size": 128, "pre_processor": False}, "pre_processor is off"),
        ({"image_size": 64, "center_crop": 80}, "larger than image_size"),
        ({"image_size": 0}, "image_size is 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(init_args, message):
    with pytest.raises(ValueError, match=message):
        Patchcore("test_resnet", pre_trained=False, **init_args)


def test_layers_in_another_order_give_the_same_model():
    model = Patchcore("test_resnet", ["layer3", "layer2"], pre_trained=False)
    assert model.layers == model.model.layers == ["layer2", "layer3"]


def test_half_precision_bank_takes_half_the_memory(bare, engine, tiny_folder):
    model = Patchcore("test_resnet", image_size=64, precision="float16", **SETTINGS, **bare)
    engine().fit(model, datamodule=tiny_folder())
    assert model.model.memory_bank.dtype == torch.float16


def test_export_keeps_the_batch_size_free(bare):
    model = Patchcore("test_resnet", pre_trained=False, image_size=64, num_neighbors=3, **bare).eval()
    seed_everything(0)
    model.model.memory_bank = torch.rand(40, 240)
    batch = torch.export.Dim("batch")
    exported = torch.export.export(model.model, (torch.rand(2, 3, 64, 64),), dynamic_shapes=({0: batch},)).module()
    images = torch.rand(20, 3, 64, 64)  # 20 * 64 patches: more than one of the chunks that eager mode works in
    with torch.no_grad():
        torch.testing.assert_close(exported(images).pred_score, model.model(images).pred_score)


def test_neighborhood_is_the_square_that_a_patch_averages(bare):
    seed_everything(0)
    wide = Patchcore("test_resnet", ["layer2"], pre_trained=False, neighborhood=5, **bare).model.train()
    images = torch.randn(2, 3, 64, 64)
    features = wide.feature_extractor(images)["layer2"]  # (2, 48, 8, 8)
    patch = wide(images).reshape(2, 8, 8, 48)[:, 3, 4]
    torch.testing.assert_close(patch, features[:, :, 1:6, 2:7].mean(dim=(2, 3)))


@pytest.mark.parametrize("size", [(64, 64), (72, 104)])
@pytest.mark.parametrize("layers", [["layer2"], ["layer2", "layer3"], ["layer1", "layer2", "layer4"]])
def test_patches_are_anomalibs_to_the_last_bit(bare, layers, size):
    ours = Patchcore("test_resnet", layers, pre_trained=False, **bare).model.eval()
    stock = anomalib.models.Patchcore("test_resnet", layers, pre_trained=False, **bare).model.eval()
    features = ours.feature_extractor(torch.randn(3, 3, *size))

    def patches(model):
        pooled = {layer: model.feature_pooler(feature) for layer, feature in features.items()}
        return model.reshape_embedding(model.generate_embedding(pooled))

    assert torch.equal(patches(ours), patches(stock))
