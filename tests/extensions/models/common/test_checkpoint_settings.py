"""What a checkpoint was built with, beside what the model at hand was built with."""

import pytest
import torch
from anomalib.pre_processing import PreProcessor
from torchvision.transforms.v2 import CenterCrop, Compose, Pad, Resize

import extensions
from extensions.models.common.checkpoint_settings import differences


def build(bare, **init_args):
    settings = {"pre_trained": False, "n_features": 8, "image_size": 48} | bare | init_args
    if "pre_processor" in init_args:
        del settings["image_size"]
    return extensions.Padim("test_resnet", ["layer1"], **settings)


@pytest.fixture(scope="module")
def checkpoint(bare, engine, tiny_folder):
    """Of a model with the default pre-processor at 48 px."""
    trained = engine()
    trained.fit(build(bare), datamodule=tiny_folder())
    return trained.best_model_path


def check(model, checkpoint, **changed):
    model.check_settings(torch.load(checkpoint, weights_only=True) | changed)


def test_all_that_differs_is_named_at_once(checkpoint, bare):
    with pytest.raises(
        ValueError, match="of image_size=48, center_crop=None, n_features=8, the model of image_size=64"
    ):
        check(build(bare, image_size=64, center_crop=32, n_features=9), checkpoint)


def test_one_number_is_the_pair_of_it(checkpoint, bare):
    check(build(bare, image_size=(48, 48)), checkpoint)
    check(build(bare, image_size=[48, 48]), checkpoint)
    with pytest.raises(ValueError, match=r"the model of image_size=\[48, 64\]"):
        check(build(bare, image_size=(48, 64)), checkpoint)


def test_a_given_pre_processor_is_compared_too(checkpoint, bare, engine, tiny_folder):
    for pre_processor in (False, PreProcessor(Resize((48, 48), antialias=True)), PreProcessor(Pad(1))):
        model = build(bare, pre_processor=pre_processor)
        with pytest.raises(ValueError, match=r"(image_size=48|Give the model the same pre_processor)"):
            check(model, checkpoint)
    own = PreProcessor(Compose([Resize((48, 48), antialias=True), CenterCrop(32)]))
    trained = engine()
    trained.fit(build(bare, pre_processor=own), datamodule=tiny_folder())
    path = trained.best_model_path
    again = extensions.Padim.load_from_checkpoint(path, **bare)  # brings its own
    assert repr(again.pre_processor.transform) != repr(extensions.Padim(pre_trained=False).pre_processor.transform)
    check(again, path)
    with pytest.raises(ValueError, match=r"CenterCrop.*found .*Give the model the same pre_processor"):
        engine().test(build(bare, image_size=256), datamodule=tiny_folder(), ckpt_path=path)
    with pytest.raises(ValueError, match="Give the model the same pre_processor"):
        extensions.Padim.load_from_checkpoint(path, pre_processor=PreProcessor(Resize((32, 32))), **bare)


def test_a_model_without_pre_processor_is_not_one_with(bare, engine, tiny_folder):
    trained = engine()
    trained.fit(build(bare, pre_processor=False), datamodule=tiny_folder())
    with pytest.raises(ValueError, match=r"another one than the model's: none; found Compose"):
        engine().test(build(bare, image_size=256), datamodule=tiny_folder(), ckpt_path=trained.best_model_path)
    assert extensions.Padim.load_from_checkpoint(trained.best_model_path, **bare).pre_processor is None


def test_checkpoints_without_the_information_are_taken(checkpoint, bare):
    stored = torch.load(checkpoint, weights_only=True)
    older = {name: value for name, value in stored["hyper_parameters"].items() if name != "center_crop"}
    check(build(bare), checkpoint, hyper_parameters=older)
    with pytest.raises(ValueError, match="center_crop=None, the model of center_crop=32"):
        check(build(bare, center_crop=32), checkpoint, hyper_parameters=older)
    for name in ("hyper_parameters", "anomalib_pre_processor_config", "anomalib_components_enabled"):
        del stored[name]
    build(bare, image_size=64).check_settings(stored)
    assert differences(extensions.Padim, {"image_size": 64}, None) == {}
