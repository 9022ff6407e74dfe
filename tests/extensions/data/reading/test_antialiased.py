"""Images are brought to size as torchvision does it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import to_dtype, to_image

from extensions.data.reading.antialiased import antialiased_size, resized_unit


@pytest.mark.parametrize("size", [(224, 224), (31, 64), (128, 40), (300, 700), (97, 60)])
@pytest.mark.parametrize("shape", [(97, 131, 3), (600, 540, 3), (64, 64, 1)])
def test_a_resized_image_is_that_of_torchvision(shape: tuple[int, int, int], size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    expected = v2.Resize(size, antialias=True)(to_dtype(to_image(pixels), torch.float32, scale=True))
    found = resized_unit(pixels, size)
    assert found.shape == expected.shape
    assert found.dtype == torch.float32
    assert found.is_contiguous()
    torch.testing.assert_close(found, torch.as_tensor(expected), rtol=0, atol=1e-6)


def test_only_a_plain_resize_is_done_in_another_way() -> None:
    resize = v2.Resize((20, 30), antialias=True)
    assert antialiased_size(resize) == (20, 30)
    assert antialiased_size(v2.Compose([v2.Compose([resize])])) == (20, 30)
    others = [
        None,
        v2.Resize(20, antialias=True),
        v2.Resize((20, 30), antialias=False),
        v2.Resize((20, 30), antialias=True, interpolation=v2.InterpolationMode.BICUBIC),
        v2.Compose([resize, v2.CenterCrop(10)]),
        v2.RandomHorizontalFlip(),
    ]
    assert [antialiased_size(transform) for transform in others] == [None] * len(others)
