"""STFPM with a student of another architecture than its teacher."""

import pytest
import torch
from anomalib.data import ImageBatch
from lightning import seed_everything
from torch import nn

from extensions import Stfpm
from extensions.models.stfpm.torch_model import match_layers

TINY = {"pre_trained": False, "image_size": 64}


def test_layers_are_matched_by_stride():
    matched = match_layers("tf_efficientnet_lite0", teacher="resnet18", layers=["layer1", "layer3"])
    assert {name: tuple(layer) for name, layer in matched.items()} == {
        "layer1": ("blocks.1", 24, 4),
        "layer3": ("blocks.4", 112, 16),
    }


def test_features_have_the_names_and_shapes_of_the_teachers(bare):
    model = Stfpm("cspdarknet53", student_backbone="resnet18", **TINY, **bare).model.train()
    teacher, student = model(torch.randn(2, 3, 64, 64))
    assert list(teacher) == list(student) == ["stages.1", "stages.2", "stages.3"]
    for name, feature in teacher.items():
        assert student[name].shape == feature.shape
        assert student[name].requires_grad
    assert not any(module.training for module in model.teacher_model.modules())


def test_equal_channels_get_no_convolution_and_the_student_is_the_network_named(bare):
    model = Stfpm("resnet34", student_backbone="resnet18", **TINY, **bare).model
    assert all(isinstance(adapter, nn.Identity) for adapter in model.student_model.adapters)
    blocks = [len(net.feature_extractor.layer2) for net in (model.teacher_model, model.student_model)]
    assert blocks == [4, 2]


def test_student_like_its_teacher_equals_none(bare):
    maps, drawn = [], []
    for student in (None, "resnet18"):
        seed_everything(0)
        model = Stfpm("resnet18", student_backbone=student, **TINY, **bare).model.eval()
        drawn.append(torch.randn(2, 3, 64, 64))
        with torch.no_grad():
            maps.append(model(drawn[-1]).anomaly_map)
    assert torch.equal(*drawn)
    assert torch.equal(*maps)


def test_convolutions_learn_with_the_student(bare):
    seed_everything(0)
    model = Stfpm("resnet18", student_backbone="tf_efficientnet_lite0", **TINY, **bare)
    model.log = lambda *_, **__: None
    adapter = model.model.student_model.adapters[0]
    assert (adapter.in_channels, adapter.out_channels) == (24, 64)
    before = adapter.weight.detach().clone()
    optimizer = model.configure_optimizers()
    images, losses = torch.rand(4, 3, 64, 64), []
    for _ in range(5):
        loss = model.training_step(ImageBatch(image=images))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert not torch.equal(adapter.weight, before)


def test_checkpoint_brings_its_student_back_and_refuses_another(bare, engine, tiny_folder, images, raw_scores):
    model = Stfpm("resnet18", student_backbone="resnet10t", **TINY, **bare)
    trained = engine(limit_train_batches=1)
    trained.fit(model, datamodule=tiny_folder())
    again = Stfpm.load_from_checkpoint(trained.best_model_path, **bare)
    assert again.student_backbone == "resnet10t"
    torch.testing.assert_close(raw_scores(again, images).pred_score, raw_scores(model, images).pred_score)
    with pytest.raises(ValueError, match=r"of student_backbone='resnet10t', the model of student_backbone=None: build"):
        Stfpm.load_from_checkpoint(trained.best_model_path, student_backbone=None, **bare)


@pytest.mark.parametrize(
    ("student", "layers", "message"),
    [
        ("deit_tiny_patch16_224", None, "'deit_tiny_patch16_224' has no layer at stride 4, that of layer 'layer1'"),
        ("resnet81", None, "resnet18"),
        ("resnet18.a1_in1k", None, "give 'resnet18' without a tag"),
        ("convnext_atto", ["act1"], r"no layer at stride 2.*stages\.0 \(stride 4\)"),
    ],
)
def test_students_that_cannot_work_are_refused(student, layers, message, bare):
    with pytest.raises(ValueError, match=message):
        Stfpm("resnet18", layers, student_backbone=student, **TINY, **bare)
