"""No TF32 inside the block, and afterwards what was asked for before."""

import pytest
import torch

from extensions.runtime.float32 import exact_float32


@pytest.mark.parametrize("before", [True, False])
def test_convolutions_are_exact_inside_alone(monkeypatch, before) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", before)
    with pytest.raises(KeyError), exact_float32():
        assert not torch.backends.cudnn.allow_tf32
        raise KeyError
    assert torch.backends.cudnn.allow_tf32 is before


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_convolution_on_a_gpu_is_that_of_the_cpu() -> None:
    generator = torch.Generator().manual_seed(0)
    images, kernels = (torch.randn(size, generator=generator) for size in ((2, 64, 32, 32), (64, 64, 3, 3)))
    expected = torch.nn.functional.conv2d(images.double(), kernels.double()).float()
    with exact_float32():
        found = torch.nn.functional.conv2d(images.cuda(), kernels.cuda()).cpu()
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
