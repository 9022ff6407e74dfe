"""ResNet-18 with CBAM, against the formulas of the paper."""

import timm
import torch
from torch.nn import functional as F

from extensions.backbones import layer_table, register


def test_attention_follows_the_papers_formulas():
    register()
    torch.manual_seed(0)
    attention = timm.create_model("resnet18_cbam").eval().layer2[1].se
    x = torch.randn(3, 128, 9, 7)
    hidden, out = (layer.weight.detach()[:, :, 0, 0] for layer in (attention.channel.fc1, attention.channel.fc2))
    assert hidden.shape == (128 // 16, 128)
    mean, largest = x.mean((2, 3)), x.flatten(2).max(2).values
    channels = torch.sigmoid(sum(torch.relu(pooled @ hidden.T) @ out.T for pooled in (mean, largest)))  # (3, 128)
    weighted = x * channels[:, :, None, None]
    pooled = torch.stack([weighted.mean(1), weighted.max(1).values], dim=1)  # (3, 2, 9, 7)
    convolution, norm = attention.spatial.conv.conv, attention.spatial.conv.bn
    assert convolution.weight.shape == (1, 2, 7, 7)
    torch.nn.init.uniform_(norm.running_var, 0.5, 1.5)
    response = F.conv2d(pooled, convolution.weight, padding=3)
    positions = torch.sigmoid((response - norm.running_mean) / (norm.running_var + norm.eps).sqrt())
    with torch.no_grad():
        torch.testing.assert_close(attention(x), weighted * positions)


def test_every_block_has_its_own_attention_before_the_shortcut_is_added():
    net = timm.create_model("resnet18_cbam").eval()
    blocks = [block for stage in (net.layer1, net.layer2, net.layer3, net.layer4) for block in stage]
    assert len({id(block.se) for block in blocks}) == len(blocks) == 8
    block = net.layer1[0]
    torch.nn.init.ones_(block.bn2.weight)  # which timm starts at zero
    x = torch.randn(1, 64, 8, 8)
    with torch.no_grad():
        inner = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x)))))
        torch.testing.assert_close(block(x), F.relu(block.se(inner) + x))


def test_layers_are_those_of_resnet18():
    assert layer_table("resnet18_cbam") == layer_table("resnet18")
