"""Weights of a backbone: from a file, deferred when there are none, and named in the checkpoint."""

import pytest
import timm
import torch
from anomalib.models import AnomalibModule
from anomalib.pre_processing import PreProcessor
from lightning import seed_everything
from torchvision.transforms.v2 import Compose, Pad, Resize

from extensions import Fastflow, Padim, Patchcore, ReverseDistillation, Stfpm
from extensions.backbones import WeightsError

SETTINGS = {"image_size": 64, "coreset_sampling_ratio": 0.1, "num_neighbors": 3}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file with ResNet-18 weights of our own, saved as DataParallel would."""
    seed_everything(5)
    state = timm.create_model("resnet18", pretrained=False).state_dict()
    path = tmp_path_factory.mktemp("weights") / "own.pth"
    torch.save({"state_dict": {f"module.{key}": tensor for key, tensor in state.items()}}, path)
    return path, state


@pytest.mark.parametrize("build", [Patchcore, Padim, Stfpm, ReverseDistillation, Fastflow])
def test_given_weights_are_in_the_extractor(build, weights):
    path, state = weights
    model = build("resnet18", weights=path)
    extractor = getattr(model.model, model.extractor_name).feature_extractor
    assert torch.equal(extractor.layer3[1].conv2.weight, state["layer3.1.conv2.weight"])
    assert model.backbone_weights.path == path


def test_checkpoint_names_the_weights_and_needs_their_file_no_more(weights, bare, engine, tiny_folder, tmp_path):
    path = tmp_path / "moved.pth"
    path.write_bytes(weights[0].read_bytes())
    trained = engine()
    model = Patchcore("resnet18", weights=path, **SETTINGS, **bare)
    trained.fit(model, datamodule=tiny_folder())
    path.unlink()
    again = Patchcore.load_from_checkpoint(trained.best_model_path)
    assert again.backbone_weights.sha256 == model.backbone_weights.sha256
    assert again.backbone_weights.path is None


def test_checkpoint_of_a_tag_that_is_not_registered_here_reloads(bare, engine, tiny_folder, tmp_path):
    trained = engine()
    trained.fit(Patchcore("resnet18", pre_trained=False, **SETTINGS, **bare), datamodule=tiny_folder())
    stored = torch.load(trained.best_model_path, weights_only=True)
    stored["backbone"]["name"] = stored["hyper_parameters"]["backbone"] = "resnet18.of_another_machine"
    torch.save(stored, tmp_path / "other.ckpt")
    assert Patchcore.load_from_checkpoint(tmp_path / "other.ckpt").backbone == "resnet18.of_another_machine"


def test_file_that_is_not_weights_is_an_error_at_once(tmp_path):
    path = tmp_path / "notes.pth"
    path.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match=r"notes\.pth"):
        Patchcore("resnet18", weights=path)


def test_pre_processing_that_a_checkpoint_cannot_hold_is_asked_for_again(bare, engine, tiny_folder):
    padded = PreProcessor(Compose([Resize((56, 56)), Pad(4)]))
    trained = engine()
    settings = {**bare, "coreset_sampling_ratio": 0.1, "num_neighbors": 3, "pre_trained": False}
    trained.fit(Patchcore("resnet18", pre_processor=padded, **settings), datamodule=tiny_folder())
    with pytest.raises(ValueError, match=r"Pad.*same pre_processor"):
        Patchcore.load_from_checkpoint(trained.best_model_path)
    again = Patchcore.load_from_checkpoint(trained.best_model_path, pre_processor=padded)
    assert again.pre_processor.transform is padded.transform


def test_anomalib_lists_no_mixin_as_a_model():
    assert not [cls.__name__ for cls in AnomalibModule.__subclasses__() if "Mixin" in cls.__name__]
