"""ResNet-50 with the stride where the original network has it."""

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import Bottleneck, ResNet

# timm registers a model's tags only from this name in the model's module
default_cfgs = generate_default_cfgs(
    {
        "resnet50_caffe.msra": {
            "num_classes": 1000,
            "input_size": (3, 224, 224),
            "pool_size": (7, 7),
            "crop_pct": 0.875,
            "interpolation": "bilinear",
            "mean": (0.485, 0.456, 0.406),
            "std": (0.229, 0.224, 0.225),
            "first_conv": "conv1",
            "classifier": "fc",
            "license": "mit",
        }
    }
)


class ResNetCaffe(ResNet):
    """ResNet whose stages 2 to 4 stride in the first 1x1 convolution instead of the 3x3 one.

    Source: He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, 2015, https://arxiv.org/abs/1512.03385;
    their released weights (https://github.com/KaimingHe/deep-residual-networks) were trained so. timm and torchvision
    stride in the 3x3 convolution: the tensors have the same names and shapes, so such weights load into `resnet50`
    without a complaint and give other features.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for layer in (self.layer2, self.layer3, self.layer4):
            layer[0].conv1.stride = (2, 2)
            layer[0].conv2.stride = (1, 1)


@register_model
def resnet50_caffe(pretrained: bool = False, **kwargs: Any) -> ResNetCaffe:
    """ResNet-50 with strides in the first 1x1 convolution of layer2, layer3 and layer4; layers as in `resnet50`."""
    arguments = {"block": Bottleneck, "layers": (3, 4, 6, 3), **kwargs}
    return build_model_with_cfg(ResNetCaffe, "resnet50_caffe", pretrained, **arguments)
