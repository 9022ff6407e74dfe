"""STFPM: a teacher that is frozen, apart from its student, and never downloaded."""

import pytest
import timm
import torch
from anomalib.data import ImageBatch
from lightning import seed_everything

from extensions import Stfpm


@pytest.fixture
def model(bare):
    seed_everything(0)
    return Stfpm("resnet18", pre_trained=False, image_size=64, **bare)


def test_teacher_and_student_share_no_tensor_and_only_the_student_learns(model):
    teacher = {tensor.data_ptr() for tensor in model.model.teacher_model.state_dict().values()}
    student = {tensor.data_ptr() for tensor in model.model.student_model.state_dict().values()}
    assert not teacher & student
    assert not any(parameter.requires_grad for parameter in model.model.teacher_model.parameters())
    assert all(parameter.requires_grad for parameter in model.model.student_model.parameters())
    weights = [net.feature_extractor.conv1.weight for net in (model.model.teacher_model, model.model.student_model)]
    assert not torch.equal(*weights)


def test_teacher_stays_in_eval_mode_while_the_student_trains(model):
    model.train()
    assert model.model.student_model.training
    assert not any(module.training for module in model.model.teacher_model.modules())


def test_building_never_asks_timm_for_weights(monkeypatch):
    create_model = timm.create_model

    def refuse(*args, **kwargs):
        assert not kwargs.get("pretrained")
        return create_model(*args, **kwargs)

    monkeypatch.setattr(timm, "create_model", refuse)
    Stfpm("resnet18", pre_trained=False)


def test_optimizer_takes_the_arguments(bare):
    model = Stfpm("resnet18", pre_trained=False, lr=0.1, momentum=0.5, weight_decay=0.01, **bare)
    optimizer = model.configure_optimizers()
    assert isinstance(optimizer, torch.optim.SGD)
    (group,) = optimizer.param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.1, 0.5, 0.01)
    n_student = len(list(model.model.student_model.parameters()))
    assert len(group["params"]) == n_student


def test_loss_falls_over_steps(model):
    model.log = lambda *_, **__: None
    optimizer = model.configure_optimizers()
    batch = ImageBatch(image=torch.rand(4, 3, 64, 64))
    losses = []
    for _ in range(5):
        loss = model.training_step(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
