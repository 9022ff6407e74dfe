"""Running statistics that are estimated anew, as torch's own way does it."""

import copy

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from extensions import Cdo, Folder, Stfpm
from extensions.models.common.recalibration import recalibrate
from extensions.models.common.training_pass import training_images


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2))


def test_statistics_are_those_of_torch_and_nothing_else_changes():
    ours = network().eval()
    expected = copy.deepcopy(ours)
    batches = list(torch.randn(3, 5, 3, 8, 8) * 2 + 1)
    recalibrate(ours, batches)
    update_bn(batches, expected)
    for (name, found), (_, wanted) in zip(ours.named_buffers(), expected.named_buffers(), strict=True):
        torch.testing.assert_close(found, wanted, msg=name)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), expected.parameters(), strict=True))
    assert not ours.training
    assert [module.momentum for module in ours.modules() if isinstance(module, nn.BatchNorm2d)] == [0.1, 0.1]


def test_no_images_change_nothing():
    model = network()
    before = copy.deepcopy(model.state_dict())
    recalibrate(model, [])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_student_leaves_its_fit_with_the_statistics_of_its_last_weights(tiny_folder, engine, bare):
    model = Stfpm("test_resnet", pre_trained=False, image_size=32, recalibrate=True, **bare)
    engine(max_epochs=2).fit(model, datamodule=tiny_folder())
    expected = copy.deepcopy(model.model.student_model)
    update_bn(list(training_images(model)), expected)
    found = dict(model.model.student_model.named_buffers())
    for name, wanted in expected.named_buffers():
        if "running" in name:
            torch.testing.assert_close(found[name], wanted, msg=name)


def test_held_out_images_are_looked_at_with_the_statistics_of_the_weights(tiny_root, engine, bare, monkeypatch):
    seen = []
    monkeypatch.setattr("extensions.models.stfpm.lightning_model.recalibrate", lambda *_: seen.append("statistics"))
    model = Cdo("test_resnet", pre_trained=False, image_size=32, recalibrate=True, **bare)
    step = model.validation_step
    monkeypatch.setattr(model, "validation_step", lambda *args: (seen.append("loss"), step(*args))[1])
    data = Folder("tiny", "train/good", root=tiny_root, abnormal_dir="test/bad", normal_test_dir="test/good",
                  val_split_mode="from_train", val_split_ratio=0.25, num_workers=0)  # fmt: skip
    engine(max_epochs=2, num_sanity_val_steps=0).fit(model, datamodule=data)
    assert seen == ["statistics", "loss"] * 2
