"""Permutations of channels: looked up where they are ones, multiplied where they are not."""

import pytest
import torch
from torch.nn import functional as F

from extensions.models.common.channel_order import ChannelOrder


def multiplied(maps, matrix):
    calls.append(1)
    return F.conv2d(maps, matrix)


calls: list[int] = []


@pytest.mark.parametrize("is_hard", [True, False])
def test_maps_and_gradients_are_those_of_the_matrix(is_hard):
    calls.clear()
    matrix = (torch.eye(6)[torch.randperm(6)] if is_hard else torch.linalg.qr(torch.randn(6, 6))[0])[:, :, None, None]
    maps, weights = torch.randn(2, 6, 3, 4, requires_grad=True), torch.randn(2, 6, 3, 4)
    expected = F.conv2d(maps, matrix)
    (gradient,) = torch.autograd.grad((expected * weights).sum(), maps)
    found = ChannelOrder(multiplied)(maps, matrix)
    (found * weights).sum().backward()
    assert bool(calls) != is_hard
    assert torch.equal(found, expected)
    assert torch.equal(maps.grad, gradient)


def test_a_matrix_changed_in_place_is_looked_at_again():
    order, matrix = ChannelOrder(F.linear), torch.eye(3)
    maps = torch.arange(6.0).reshape(2, 3)
    assert torch.equal(order(maps, matrix), maps)
    matrix.copy_(matrix.flip(0))
    assert torch.equal(order(maps, matrix), maps.flip(1))
