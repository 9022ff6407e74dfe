"""Reverse distillation: anomalib's maps for its ResNets, any other backbone and size, and an encoder left alone."""

import anomalib.models
import numpy as np
import pytest
import torch
from anomalib.data import ImageBatch
from anomalib.models.components.backbone.resnet_decoder import ResNetDecoder
from anomalib.models.image.reverse_distillation.loss import ReverseDistillationLoss
from anomalib.pre_processing import PreProcessor
from lightning import seed_everything
from torchvision.transforms.v2 import Resize

from extensions import ReverseDistillation
from extensions.backbones import Layer
from extensions.models.reverse_distillation.loss import distillation_loss
from extensions.models.reverse_distillation.student import decode, fit_to, make_student
from extensions.runtime.openvino_core import openvino_core

TINY = {"pre_trained": False, "image_size": 64}
STUDENT = ("bottleneck", "decoder")


def stock_twin(model, backbone, bare, mode):
    """Anomalib's model with the same tensors, for images of 64 px."""
    twin = anomalib.models.ReverseDistillation(
        backbone,
        ("layer1", "layer2", "layer3"),
        anomaly_map_mode=mode,
        pre_trained=False,
        pre_processor=PreProcessor(Resize((64, 64))),
        **bare,
    )
    for part in ("encoder", *STUDENT):
        getattr(twin.model, part).load_state_dict(getattr(model.model, part).state_dict())
    return twin


def run_steps(model, images, n_steps=1):
    """Training steps outside a trainer; the losses."""
    model.train()
    model.log = lambda *_, **__: None
    optimizer = model.configure_optimizers()
    losses = []
    for _ in range(n_steps):
        loss = model.training_step(ImageBatch(image=images))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(("backbone", "mode"), [("resnet18", "add"), ("resnet50", "multiply")])
def test_maps_equal_anomalibs_with_the_same_tensors(backbone, mode, bare):
    seed_everything(0)
    ours = ReverseDistillation(backbone, anomaly_map_mode=mode, **TINY, **bare)
    stock = stock_twin(ours, backbone, bare, mode)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        found, expected = (one.model.eval()(images) for one in (ours, stock))
    torch.testing.assert_close(found.anomaly_map, expected.anomaly_map)
    torch.testing.assert_close(found.pred_score, expected.pred_score[:, 0])


def test_steps_change_the_student_as_anomalibs_do(bare):
    seed_everything(0)
    ours = ReverseDistillation("resnet18", **TINY, **bare)
    stock = stock_twin(ours, "resnet18", bare, "add")
    images = torch.randn(4, 3, 64, 64)
    assert run_steps(ours, images, 2) == pytest.approx(run_steps(stock, images, 2), rel=1e-5)
    for part in STUDENT:
        for key, tensor in getattr(stock.model, part).state_dict().items():
            torch.testing.assert_close(getattr(ours.model, part).state_dict()[key], tensor, msg=key)


def test_loss_is_anomalibs_and_takes_channels_last_features():
    seed_everything(0)
    encoded, decoded = ([torch.randn(3, 8, 6, 6), torch.randn(3, 16, 3, 3)] for _ in range(2))
    expected = ReverseDistillationLoss()(encoded, decoded)
    torch.testing.assert_close(distillation_loss(encoded, decoded), expected)
    last = [feature.to(memory_format=torch.channels_last) for feature in encoded]
    torch.testing.assert_close(distillation_loss(last, decoded), expected)


def test_encoder_stays_in_eval_mode_and_keeps_its_statistics_while_the_student_trains(bare, engine, tiny_folder):
    model = ReverseDistillation("resnet18", **TINY, **bare)
    before = {
        part: {k: t.clone() for k, t in getattr(model.model, part).named_buffers()} for part in ("encoder", *STUDENT)
    }
    modes = []
    model.model.bottleneck.register_forward_hook(
        lambda network, *_: modes.append((network.training, any(m.training for m in model.model.encoder.modules())))
    )
    engine(limit_val_batches=0).fit(model, datamodule=tiny_folder())
    assert set(modes) == {(True, False)}
    for key, tensor in model.model.encoder.named_buffers():
        assert torch.equal(tensor, before["encoder"][key]), key
    for part in STUDENT:
        changed = [not torch.equal(t, before[part][k]) for k, t in getattr(model.model, part).named_buffers()]
        assert any(changed), part
    model.train()
    assert model.model.decoder.training
    assert not any(module.training for module in model.model.encoder.modules())


def test_optimizer_holds_the_student_alone_and_takes_the_rate(bare):
    model = ReverseDistillation("resnet18", lr=0.1, **TINY, **bare)
    (group,) = model.configure_optimizers().param_groups
    held = {id(parameter) for parameter in group["params"]}
    assert group["lr"] == 0.1
    assert held == {id(p) for part in STUDENT for p in getattr(model.model, part).parameters()}
    assert not any(parameter.requires_grad for parameter in model.model.encoder.parameters())


def test_another_backbone_learns_to_restore_its_features(bare):
    seed_everything(0)
    model = ReverseDistillation("tf_efficientnet_lite0", **TINY, **bare)
    losses = run_steps(model, torch.randn(2, 3, 64, 64), 3)
    assert losses[-1] < losses[0]


def test_wide_backbone_without_residual_names_gets_a_student_of_its_channels(bare):
    model = ReverseDistillation("cspdarknet53", pre_trained=False, image_size=32, **bare)
    assert [head.out_channels for head in model.model.decoder.heads] == [512, 256, 128]
    with torch.no_grad():
        assert model.model.eval()(torch.randn(1, 3, 32, 32)).pred_score.isfinite().all()


@pytest.mark.parametrize("name", ["resnet18.a1_in1k", "resnet50_caffe.msra", "wide_resnet50_2"])
def test_tagged_resnets_get_anomalibs_student(name):
    channels = 64 if name.startswith("resnet18") else 256
    layers = [Layer(f"layer{i + 1}", channels * 2**i, 4 * 2**i) for i in range(3)]
    with torch.device("meta"):
        _, decoder = make_student(name, layers)
    assert isinstance(decoder, ResNetDecoder)


@pytest.mark.parametrize("channels", [(24, 40, 112), (3, 1001), (30,)])
def test_student_restores_the_shapes_that_it_was_given_and_negative_values(channels):
    layers = [Layer(f"stage{i}", n, 4 * 2**i) for i, n in enumerate(channels)]
    bottleneck, decoder = make_student("some_net", layers)
    features = [torch.randn(2, n, 20 // 2**i, 12 // 2**i) for i, n in enumerate(channels)]
    embedding = bottleneck(features)
    assert embedding.shape[-1] <= (features[-1].shape[-1] + 1) // 2
    decoded = decode(decoder, embedding, features)
    assert [tuple(one.shape) for one in decoded] == [tuple(one.shape) for one in features]
    assert all(one.min() < 0 for one in decoded)


@pytest.mark.parametrize(("backbone", "size"), [("resnet18", 112), ("resnet18", (72, 100))])
def test_images_need_not_be_multiples_of_the_last_stride(backbone, size, bare):
    seed_everything(0)
    model = ReverseDistillation(backbone, pre_trained=False, image_size=size, **bare)
    height, width = model.input_size
    assert len(run_steps(model, torch.randn(2, 3, height, width))) == 1
    with torch.no_grad():
        assert model.model.eval()(torch.randn(2, 3, height, width)).anomaly_map.shape == (2, 1, height, width)


def test_student_follows_networks_that_round_sizes_down():
    layers = [Layer("features.3", 16, 4), Layer("features.6", 16, 8)]
    bottleneck, decoder = make_student("some_net", layers)
    features = [torch.randn(2, 16, 11, 11), torch.randn(2, 16, 5, 5)]
    decoded = decode(decoder, bottleneck(features), features)
    assert [one.shape[-1] for one in decoded] == [11, 5]


def test_maps_are_cut_or_continued_at_their_lower_and_right_edges():
    maps = torch.arange(6.0).reshape(1, 1, 2, 3)
    found = fit_to(maps, torch.Size((3, 2)))
    assert found[0, 0].tolist() == [[0, 1], [3, 4], [3, 4]]


def test_layers_whose_stride_does_not_double_are_refused(bare):
    with pytest.raises(ValueError, match=r"layer1 \(stride 4\), layer3 \(stride 16\).*resnet18"):
        ReverseDistillation("resnet18", ["layer1", "layer3"], **TINY, **bare)
    with pytest.raises(ValueError, match="no layer at stride 4"):
        ReverseDistillation("deit_tiny_patch16_224", **TINY, **bare)
    with pytest.raises(ValueError, match="anomaly_map_mode is 'mean'; expected add or multiply"):
        ReverseDistillation("resnet18", anomaly_map_mode="mean", **TINY, **bare)


def test_exported_model_gives_the_same_scores(bare, images, raw_scores, tmp_path):
    seed_everything(0)
    model = ReverseDistillation("resnet18", ["layer1", "layer2"], **TINY, **bare).eval()
    expected = raw_scores(model, images[:3])
    path = model.to_openvino(tmp_path)
    compiled = openvino_core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(images[:3].numpy())
    np.testing.assert_allclose(found["anomaly_map"], expected.anomaly_map, atol=1e-4)
    np.testing.assert_allclose(np.ravel(found["pred_score"]), expected.pred_score, atol=1e-4)
