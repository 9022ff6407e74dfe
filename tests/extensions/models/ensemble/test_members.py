"""What an entry of `members` stands for."""

from __future__ import annotations

import torch

import extensions
from extensions.models.ensemble.members import Member


def test_a_member_of_anomalibs_own_takes_the_weights_of_a_run_of_its_own():
    arguments = {"backbone": "tf_efficientnet_lite0", "layers": ["blocks.1", "blocks.2"], "n_features": 10}
    stock = Member("anomalib.models.Padim", arguments).build()
    expected = extensions.Padim(**arguments).model.feature_extractor.state_dict()
    found = stock.model.feature_extractor.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
