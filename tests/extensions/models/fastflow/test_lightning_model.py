"""FastFlow: anomalib's maps with the same tensors, on any backbone, any size and data without masks."""

import anomalib.models
import numpy as np
import pytest
import torch
from anomalib.data import ImageBatch
from anomalib.pre_processing import PreProcessor
from lightning import seed_everything
from torchvision.transforms.v2 import Normalize, Resize

from extensions import Fastflow
from extensions.models.common.lr_schedule_mixin import cosine_lr
from extensions.runtime.openvino_core import openvino_core

SMALL = {"pre_trained": False, "flow_steps": 2, "hidden_ratio": 0.25}
FLOWS = ("norms", "fast_flow_blocks")


@pytest.fixture
def twins(bare):
    """Ours and anomalib's with the same tensors; normalizations are not what they start as."""
    seed_everything(0)
    ours = Fastflow("resnet18", image_size=64, **SMALL, **bare)
    for parameter in ours.model.norms.parameters():
        torch.nn.init.normal_(parameter)
    stock = anomalib.models.Fastflow("resnet18", pre_processor=PreProcessor(Resize((64, 64))), **SMALL, **bare)
    stock.model.feature_extractor.load_state_dict(ours.model.feature_extractor.feature_extractor.state_dict())
    for part in FLOWS:
        getattr(stock.model, part).load_state_dict(getattr(ours.model, part).state_dict())
    return ours, stock


def run_step(model, images):
    model.train()
    model.log = lambda *_, **__: None
    optimizer = model.configure_optimizers()
    loss = model.training_step(ImageBatch(image=images))["loss"]
    loss.backward()
    optimizer.step()
    return loss.item()


def test_maps_equal_anomalibs_with_the_same_tensors(twins):
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        found, expected = (one.model.eval()(images) for one in twins)
    torch.testing.assert_close(found.anomaly_map, expected.anomaly_map)
    torch.testing.assert_close(found.pred_score, expected.pred_score[:, 0])


def test_step_changes_the_flows_as_anomalibs_does(twins):
    ours, stock = twins
    images = torch.randn(2, 3, 64, 64)
    assert run_step(ours, images) == pytest.approx(run_step(stock, images), rel=1e-6)
    for part in FLOWS:
        for key, tensor in getattr(stock.model, part).state_dict().items():
            torch.testing.assert_close(getattr(ours.model, part).state_dict()[key], tensor, msg=key)


def test_backbone_stays_in_eval_mode_and_keeps_its_statistics(bare, engine, tiny_folder):
    model = Fastflow("resnet18", image_size=64, **SMALL, **bare)
    before = {key: tensor.clone() for key, tensor in model.model.feature_extractor.named_buffers()}
    modes = []
    model.model.feature_extractor.register_forward_hook(lambda network, *_: modes.append(network.training))
    engine(limit_val_batches=0).fit(model, datamodule=tiny_folder())
    assert set(modes) == {False}
    for key, tensor in model.model.feature_extractor.named_buffers():
        assert torch.equal(tensor, before[key]), key
    model.train()
    assert model.model.fast_flow_blocks.training
    assert not any(module.training for module in model.model.feature_extractor.modules())


@pytest.mark.parametrize(
    ("backbone", "layers", "size"),
    [
        ("tf_efficientnet_lite0", None, (72, 100)),
        ("cspdarknet53", ["stages.1"], 64),
        ("vgg11_bn", ["features.13"], 50),
        ("vit_tiny_patch16_224", ["blocks.3"], 64),
    ],
)
def test_other_backbones_and_sizes_fit_and_score(backbone, layers, size, bare):
    seed_everything(0)
    model = Fastflow(backbone, layers, image_size=size, **SMALL, **bare)
    height, width = model.input_size
    assert np.isfinite(run_step(model, torch.randn(2, 3, height, width)))
    with torch.no_grad():
        scored = model.model.eval()(torch.randn(2, 3, height, width))
    assert scored.anomaly_map.shape == (2, 1, height, width)
    assert ((scored.pred_score >= -1) & (scored.pred_score <= 0)).all()


def test_optimizer_holds_the_flows_alone_and_takes_the_arguments(bare):
    model = Fastflow("resnet18", image_size=64, lr=0.1, weight_decay=0.01, **SMALL, **bare)
    (group,) = model.configure_optimizers().param_groups
    assert (group["lr"], group["weight_decay"]) == (0.1, 0.01)
    assert {id(p) for p in group["params"]} == {id(p) for one in FLOWS for p in getattr(model.model, one).parameters()}


def test_cosine_schedule_lowers_the_rate_epoch_by_epoch(bare, engine, tiny_folder):
    model = Fastflow("resnet18", ["layer3"], image_size=64, lr=0.1, lr_schedule="cosine", **SMALL, **bare)
    engine(max_epochs=2).fit(model, datamodule=tiny_folder())
    assert model.optimizers().param_groups[0]["lr"] == pytest.approx(cosine_lr(0.1, epoch=1, n_epochs=2))


def test_data_without_masks_are_tested_with_the_default_metrics(engine, tiny_folder):
    model = Fastflow("resnet18", image_size=64, visualizer=False, **SMALL)
    (metrics,) = engine(max_epochs=1).test(model, datamodule=tiny_folder(mask_dir=None))
    assert set(metrics) == {"image_AUROC", "image_F1Score"}


def test_given_pre_processor_decides_the_size_and_a_checkpoint_restores_it(bare, engine, tiny_folder, images):
    transform = torch.nn.Sequential(Resize((48, 80)), Normalize([0.5] * 3, [0.5] * 3))
    model = Fastflow("resnet18", pre_processor=PreProcessor(Resize((48, 80))), **SMALL, **bare)
    trained = engine()
    trained.fit(model, datamodule=tiny_folder())
    again = Fastflow.load_from_checkpoint(trained.best_model_path, **bare)
    assert again.model.input_size == (48, 80)
    images = transform(images)
    with torch.no_grad():
        torch.testing.assert_close(again.model.eval()(images).anomaly_map, model.model.eval()(images).anomaly_map)


def test_images_of_no_known_size_or_another_one_are_refused(bare):
    with pytest.raises(ValueError, match="must know the size of the images"):
        Fastflow("resnet18", pre_processor=False, **SMALL, **bare)
    model = Fastflow("resnet18", image_size=64, **SMALL, **bare)
    with pytest.raises(ValueError, match="images are 32 x 64 px, but this Fastflow was built for 64 x 64"):
        model.model(torch.zeros(1, 3, 32, 64))


@pytest.mark.parametrize("init_args", [{"flow_steps": 0}, {"hidden_ratio": 0}, {"lr_schedule": "step"}])
def test_settings_that_cannot_work_are_refused(init_args):
    with pytest.raises(ValueError, match=next(iter(init_args))):
        Fastflow(**(SMALL | init_args))


def test_exported_model_gives_the_same_scores(bare, images, raw_scores, tmp_path):
    seed_everything(0)
    model = Fastflow("resnet18", ["layer1", "layer2"], image_size=64, **SMALL, **bare).eval()
    expected = raw_scores(model, images[:3])
    path = model.to_openvino(tmp_path)
    compiled = openvino_core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(images[:3].numpy())
    np.testing.assert_allclose(found["anomaly_map"], expected.anomaly_map, atol=1e-4)
    np.testing.assert_allclose(np.ravel(found["pred_score"]), expected.pred_score, atol=1e-4)
