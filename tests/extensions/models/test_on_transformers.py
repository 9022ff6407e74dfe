"""Every model that takes a vision transformer fits, scores and reloads on one; the others say why not."""

import pytest
import torch
from anomalib.pre_processing import PreProcessor
from lightning import seed_everything
from torchvision.transforms.v2 import Compose, Resize

import extensions
from extensions.backbones.map_extractor import MapExtractor
from extensions.models.common import pre_processor
from extensions.models.stfpm.torch_model import AdaptedStudent, match_layers
from tests.extensions.models.test_contract import ON_BACKBONES, assert_equal_predictions

REFUSED = {"RegAd", "ReverseDistillation"}
SWIN = "swin_tiny_patch4_window7_224"


@pytest.fixture(autouse=True)
def through_torch(monkeypatch):
    """Converting each network takes seconds; that OpenVINO gives the same is tested beside the extractor."""
    monkeypatch.setenv("WORKBENCH_FEATURES", "torch")


@pytest.mark.parametrize("name", sorted(set(ON_BACKBONES) - REFUSED))
def test_model_fits_scores_and_reloads_on_a_vit(name, bare, engine, tiny_folder, images, raw_scores):
    seed_everything(0)
    model = getattr(extensions, name)("test_vit", image_size=64, pre_trained=False, **ON_BACKBONES[name], **bare)
    trained = engine()
    trained.fit(model, datamodule=tiny_folder())
    expected = raw_scores(model, images)
    assert expected.pred_score.isfinite().all()
    if expected.anomaly_map is not None:
        assert expected.anomaly_map.shape == (8, 1, 64, 64)
    again = type(model).load_from_checkpoint(trained.best_model_path, **bare)
    assert_equal_predictions(raw_scores(again, images), expected)


def test_patchcore_on_a_swin_takes_sizes_that_are_not_its_own(bare):
    model = extensions.Patchcore(SWIN, image_size=(72, 100), pre_trained=False, num_neighbors=1, **bare)
    assert model.layers == ["layers.1", "layers.2"]
    shown = torch.rand(3, 3, 72, 100, generator=torch.Generator().manual_seed(0))
    model.model.train()(shown[:2])
    model.model.subsample_embedding(1.0)
    assert model.model.memory_bank.shape == (2 * 9 * 13, 192 + 384)
    with torch.no_grad():
        scored = model.model.eval()(shown)
    assert scored.anomaly_map.shape == (3, 1, 72, 100)
    assert scored.pred_score[2] > scored.pred_score[:2].max()


def test_models_that_need_a_pyramid_or_convolutions_say_so(bare):
    with pytest.raises(ValueError, match=r"RegAD .*'test_vit' is a vision transformer: .*support_views"):
        extensions.RegAd("test_vit", image_size=64, pre_trained=False, **bare)
    with pytest.raises(ValueError, match=r"stride doubles.*of a transformer whose maps have one size, one of them"):
        extensions.ReverseDistillation("test_vit", image_size=64, pre_trained=False, **bare)


def test_image_size_that_patches_do_not_fit_is_changed_with_one_word(bare, caplog, engine, tiny_folder):
    pre_processor._say_once.cache_clear()
    settings = {"image_size": (100, 64), "pre_trained": False, "coreset_sampling_ratio": 0.5, **bare}
    models = [extensions.Patchcore("test_vit", **settings) for _ in range(2)]
    assert [model.input_size for model in models] == [(96, 64)] * 2
    assert caplog.text.count("image_size is 96 x 64 px and not 100 x 64: backbone test_vit has patches of 16 px") == 1
    trained = engine()
    trained.fit(models[0], datamodule=tiny_folder())
    assert extensions.Patchcore.load_from_checkpoint(trained.best_model_path, **bare).input_size == (96, 64)


def test_a_crop_that_patches_do_not_fit_is_changed_and_lies_within_the_image(bare):
    model = extensions.Patchcore("test_vit", image_size=90, center_crop=90, pre_trained=False, **bare)
    assert model.input_size == (96, 96)
    assert extensions.Patchcore("resnet18", image_size=90, pre_trained=False, **bare).input_size == (90, 90)


def test_a_pre_processor_of_ones_own_must_fit(bare):
    own = PreProcessor(transform=Compose([Resize((100, 64))]))
    with pytest.raises(ValueError, match=r"100 x 64 px do not fit backbone 'test_vit'.*resize them to 96 x 64"):
        extensions.Patchcore("test_vit", pre_processor=own, pre_trained=False, **bare)


def test_a_students_layers_are_as_deep_as_its_teachers():
    matched = match_layers("vit_tiny_patch16_224", teacher="test_vit", layers=["blocks.1", "blocks.3", "blocks.5"])
    assert [layer.name for layer in matched.values()] == ["blocks.3", "blocks.7", "blocks.11"]
    student = AdaptedStudent("vit_tiny_patch16_224", teacher="test_vit", layers=["blocks.1", "blocks.3"])
    teacher = MapExtractor("test_vit", ["blocks.1", "blocks.3"])
    shown = torch.rand(1, 3, 32, 48)
    assert {name: maps.shape for name, maps in student(shown).items()} == {
        name: maps.shape for name, maps in teacher(shown).items()
    }
    with pytest.raises(ValueError, match="no layer at stride 16"):
        match_layers("vit_small_patch14_dinov2", teacher="test_vit", layers=["blocks.1"])
