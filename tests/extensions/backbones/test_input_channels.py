"""Adapted first convolutions, against timm's own `create_model(in_chans=...)` with the same weights."""

import pytest
import timm
import torch

from extensions.backbones import register
from extensions.backbones.input_channels import in_channels, set_in_channels


@pytest.mark.parametrize("n_channels", [1, 2, 4, 5, 7])
@pytest.mark.parametrize(
    "name", ["resnet18", "tf_efficientnet_lite0", "convnext_atto", "resnet18_cbam", "unet_resnet18"]
)
def test_weights_are_those_that_timm_makes_of_them(name, n_channels, tmp_path):
    register()
    ours = timm.create_model(name, pretrained=False, features_only=True, out_indices=(1, 2)).eval()
    whole = timm.create_model(name, pretrained=False)
    torch.save(whole.state_dict(), tmp_path / "weights.pth")
    overlay = {"file": str(tmp_path / "weights.pth")}
    settings = {"pretrained": True, "pretrained_cfg_overlay": overlay, "in_chans": n_channels}
    theirs = timm.create_model(name, features_only=True, out_indices=(1, 2), **settings).eval()
    unchanged = timm.create_model(name, features_only=True, out_indices=(1, 2), **settings | {"in_chans": 3})
    ours.load_state_dict(unchanged.state_dict())
    set_in_channels(ours, n_channels)
    assert in_channels(ours) == n_channels
    images = torch.randn(2, n_channels, 64, 64)
    with torch.no_grad():
        for found, expected in zip(ours(images), theirs(images), strict=True):
            torch.testing.assert_close(found, expected)


def test_a_frozen_backbone_stays_frozen():
    network = timm.create_model("resnet18", features_only=True).requires_grad_(False)
    set_in_channels(network, 5)
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_network_is_adapted_once():
    network = timm.create_model("resnet18", features_only=True)
    set_in_channels(network, 5)
    with pytest.raises(ValueError, match="for images of 5 channels cannot be changed to take 4: build another model"):
        set_in_channels(network, 4)
