"""Stages behind the last one in use do not run, and nothing else changes."""

from __future__ import annotations

import copy

import pytest
import torch
from anomalib.models.components import TimmFeatureExtractor

from extensions.backbones.frozen import freeze
from extensions.backbones.map_extractor import MapExtractor

LAYERS = {"tf_efficientnet_lite0": ["blocks.1", "blocks.2"], "mobilenetv3_small_050": ["blocks.0", "blocks.1"]}


@pytest.mark.parametrize("backbone", LAYERS)
def test_maps_are_those_of_timm_and_the_stages_behind_do_not_run(backbone):
    stock = TimmFeatureExtractor(backbone, LAYERS[backbone], pre_trained=False).eval()
    ours = MapExtractor(backbone, LAYERS[backbone]).eval()
    ours.load_state_dict(stock.state_dict())
    images = torch.rand(2, 3, 64, 64)
    expected = stock(images)
    ran = []
    for number, stage in enumerate(ours.feature_extractor.blocks):
        stage.register_forward_hook(lambda *_, number=number: ran.append(number))
    for one in (ours, freeze(copy.deepcopy(stock)), copy.deepcopy(ours)):
        found = one(images)
        assert list(found) == LAYERS[backbone]
        assert all(torch.equal(found[name], expected[name]) for name in found)
    assert max(ran) < len(ours.feature_extractor.blocks) - 1
    assert list(ours.state_dict()) == list(stock.state_dict())


def test_the_map_of_the_stem_is_given_too():
    stock = TimmFeatureExtractor("tf_efficientnet_lite0", [0], pre_trained=False).eval()
    ours = MapExtractor("tf_efficientnet_lite0", [0]).eval()
    ours.load_state_dict(stock.state_dict())
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(ours(images)[0], stock(images)[0])
