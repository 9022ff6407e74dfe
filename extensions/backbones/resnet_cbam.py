"""ResNet-18 with attention over channels and positions in each block."""

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, ResNet

# timm registers a model's configuration only from this name in the model's module
default_cfgs = generate_default_cfgs(
    {
        "resnet18_cbam": {
            "num_classes": 1000,
            "input_size": (3, 224, 224),
            "pool_size": (7, 7),
            "first_conv": "conv1",
            "classifier": "fc",
        }
    }
)


@register_model
def resnet18_cbam(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-18 of timm with timm's CBAM on each block's output, before the shortcut is added; layers as in `resnet18`.

    Source: Woo, Park, Lee and Kweon, CBAM: Convolutional Block Attention Module, 2018,
    https://arxiv.org/abs/1807.06521. First each channel is weighted by a perceptron with C/16 hidden units that both
    the mean and the maximum over positions go through, then each position by a 7x7 convolution of the mean and the
    maximum over channels; both weights lie in 0 to 1.

    Differs from the paper: a batch norm follows the 7x7 convolution, as in the authors' code
    (https://github.com/Jongchan/attention-module). Differs from that code: the perceptron has no biases, as in the
    paper; the last batch norm of a block starts at weight 0 and that of the attention at 1 with momentum 0.1, as timm
    has them (there 1, 0 and 0.01), so that an untrained network differs from timm's `resnet18` in nothing else, and
    attention gets its first gradient in the second step; mean and maximum are stacked in the other order. Weights of
    the authors do not load.

    There are no weights for it: train it with `extensions.self_supervised`.
    """
    arguments = {"block": BasicBlock, "layers": (2, 2, 2, 2), "block_args": {"attn_layer": "cbam"}, **kwargs}
    return build_model_with_cfg(ResNet, "resnet18_cbam", pretrained, **arguments)
