"""ResNet-50 with the original strides."""

import timm
import torch
import torchvision

from extensions.backbones import layer_table, register


def test_equals_torchvisions_resnet50_with_the_strides_moved(image):
    register()
    ours = timm.create_model("resnet50_caffe.msra").eval()
    for module in ours.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(
                module.weight
            )  # timm starts the last one of a block at zero: no convolution would count
    reference = torchvision.models.resnet50().eval()
    reference.load_state_dict(ours.state_dict(), strict=True)
    with torch.no_grad():
        assert not torch.allclose(ours(image), reference(image), rtol=1e-3)
        for block in (reference.layer2[0], reference.layer3[0], reference.layer4[0]):
            block.conv1.stride, block.conv2.stride = (2, 2), (1, 1)
        torch.testing.assert_close(ours(image), reference(image), rtol=1e-4, atol=1e-5)


def test_layers_are_those_of_resnet50():
    assert layer_table("resnet50_caffe.msra") == layer_table("resnet50")
