"""ResNet-18 with a decoder, against the plain encoder and a decoder written out."""

import timm
import torch
from torch.nn import functional as F

from extensions.backbones import layer_table, register


def unet(**arguments):
    register()
    torch.manual_seed(0)
    return timm.create_model("unet_resnet18", **arguments).eval()


def test_layers_stand_in_order_of_their_strides_the_decoders_last():
    assert [(layer.name, layer.reduction) for layer in layer_table("unet_resnet18")] == [
        ("act1", 2), ("layer1", 4), ("up3", 4), ("layer2", 8), ("up2", 8), ("layer3", 16), ("up1", 16), ("layer4", 32),
    ]  # fmt: skip


def test_the_encoder_is_timms_resnet18(resnet18, image):
    net = unet()
    lacking = net.load_state_dict({k: v for k, v in resnet18.state_dict().items() if k[:2] != "fc"}, strict=False)
    assert {name.split(".")[0] for name in lacking.missing_keys} == {"up1", "up2", "up3", "fc"}
    assert lacking.unexpected_keys == []
    with torch.no_grad():
        found = net.forward_intermediates(image, indices=[0, 1, 3, 5, 7], intermediates_only=True)
        expected = resnet18.forward_intermediates(image, intermediates_only=True)
    assert all(feature.abs().max() > 0 for feature in expected)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))


def test_each_level_repeats_the_deeper_one_and_joins_the_stage_of_its_stride():
    net = unet()
    with torch.no_grad():
        maps = dict(
            zip(
                [info["module"] for info in net.feature_info],
                net.forward_intermediates(torch.rand(1, 3, 75, 101), intermediates_only=True),
                strict=True,
            )
        )
        for name, below, skip in (("up1", "layer4", "layer3"), ("up2", "up1", "layer2"), ("up3", "up2", "layer1")):
            height, width = maps[skip].shape[-2:]
            repeated = maps[below].repeat_interleave(2, 2).repeat_interleave(2, 3)[..., :height, :width]
            block, x = getattr(net, name), torch.cat([repeated, maps[skip]], dim=1)
            for convolution, norm in ((block.conv1, block.bn1), (block.conv2, block.bn2)):
                x = F.relu(norm(convolution(x)))
            torch.testing.assert_close(maps[name], x)


def test_maps_come_in_the_order_asked_for_and_only_what_they_need_is_computed(image):
    net = unet(features_only=True, out_indices=(4, 2, 1))
    calls = []
    for name in ("layer4", "up2", "up3"):
        getattr(net.model, name).register_forward_hook(lambda *_, name=name: calls.append(name))
    with torch.no_grad():
        maps = net(image)
        assert [tuple(m.shape[1:]) for m in maps] == [(128, 8, 8), (64, 16, 16), (64, 16, 16)]
        assert net.feature_info.module_name() == ["up2", "up3", "layer1"]
        assert calls == ["layer4", "up2", "up3"]
        calls.clear()
        torch.testing.assert_close(net.model.forward_intermediates(image, [4, 1], intermediates_only=True)[0], maps[0])
        assert calls == ["layer4", "up2"]
        calls.clear()
        net.model.forward_intermediates(image, [1, 3], intermediates_only=True)
        assert calls == []


def test_pooled_output_is_the_mean_of_the_deepest_stage_beside_that_of_the_finest_level(image):
    net = unet(num_classes=0)
    with torch.no_grad():
        fine, deep = net.forward_intermediates(image, indices=[2, 7], intermediates_only=True)
        torch.testing.assert_close(net(image), torch.cat([deep.mean((2, 3)), fine.mean((2, 3))], dim=1))
