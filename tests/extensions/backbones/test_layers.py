"""Layer names, channels and strides."""

import pytest
import torch

from extensions.backbones import check_layers, default_layers, layer_table


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50_caffe.msra", "cspdarknet53", "tf_efficientnet_lite2"])
def test_table_says_what_the_network_gives(backbone, extractor, image):
    table = layer_table(backbone)
    features = extractor(backbone, [layer.name for layer in table])(image)
    assert {name: tuple(f.shape[1:]) for name, f in features.items()} == {
        layer.name: (layer.channels, 64 // layer.reduction, 64 // layer.reduction) for layer in table
    }


def test_table_of_the_largest_offered_backbone():
    assert [tuple(layer) for layer in layer_table("tf_efficientnet_b7")] == [
        ("blocks.0", 32, 2),
        ("blocks.1", 48, 4),
        ("blocks.2", 80, 8),
        ("blocks.4", 224, 16),
        ("blocks.6", 640, 32),
    ]


def test_looking_at_layers_draws_no_random_numbers():
    torch.manual_seed(0)
    layer_table("resnet26")
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(1))


@pytest.mark.parametrize(
    ("backbone", "reductions", "expected"),
    [
        ("resnet18", (8, 16), ("layer2", "layer3")),
        ("wide_resnet50_2", (4, 8, 16), ("layer1", "layer2", "layer3")),
        ("tf_efficientnet_b7", (8, 16), ("blocks.2", "blocks.4")),
        ("cspdarknet53", (32, 8, 16), ("stages.2", "stages.3", "stages.4")),
    ],
)
def test_default_layers_are_those_at_the_strides(backbone, reductions, expected):
    assert default_layers(backbone, reductions=reductions) == expected


def test_default_layers_ask_for_layers_when_a_stride_lacks():
    with pytest.raises(ValueError, match=r"no layer at stride 64.*set `layers`"):
        default_layers("resnet18", reductions=(4, 64))


@pytest.mark.parametrize(
    ("backbone", "layers", "said"),
    [
        ("resnet18", ["layer5"], "layer4 .512 channels, stride 32."),
        ("tf_efficientnet_b7", ["blocks.3"], "blocks.2.*blocks.4"),
        ("cspdarknet53", ["stages_2"], r"nearest: stages\.2"),
        ("resnet18", [], "no layers given"),
        ("resnet18", ["layer2", "layer2"], "twice"),
    ],
)
def test_wrong_layers_are_refused_with_the_right_ones(backbone, layers, said):
    with pytest.raises(ValueError, match=said):
        check_layers(backbone, layers)


def test_layers_come_back_in_the_networks_order():
    assert check_layers("resnet18", ["layer3", "layer1"]) == ("layer1", "layer3")


def test_name_that_anomalib_takes_for_a_transformer_is_refused():
    with pytest.raises(ValueError, match="vision transformer"):
        layer_table("mobilevit_s")
