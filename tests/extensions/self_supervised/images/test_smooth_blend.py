"""A soft patch is small, comes from the image itself and has no edge; the weak change is global."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from extensions.self_supervised.images import smooth_blend as module
from extensions.self_supervised.images.smooth_blend import smooth_blend, weak_change


def textured(side: int = 96) -> torch.Tensor:
    return torch.rand(3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(96, 96), (64, 200), (40, 30)])
def test_a_patch_covers_the_share_that_is_asked_for_and_lies_within_the_image(size):
    image = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    for seed in range(40):
        blended, alpha = smooth_blend(image, np.random.default_rng(seed))
        assert blended.shape == image.shape
        assert float(blended.min()) >= 0
        assert float(blended.max()) <= 1
        assert float(alpha.max()) <= 1
        # A blur keeps the sum, and what lies beyond its reach is little; 2 px are the shortest side.
        assert 0.95 * 0.002 <= float(alpha.mean()) <= max(0.0201, 4 * 3 / alpha.numel())


def test_only_the_patch_changes_and_it_changes():
    image = textured()
    for seed in range(20):
        blended, alpha = smooth_blend(image, np.random.default_rng(seed))
        changed = (blended != image).any(dim=0)
        assert not bool(changed[alpha == 0].any())
        assert bool(changed[alpha > 0.5].all())


def test_the_patch_is_the_image_s_own_where_colors_are_left_alone(monkeypatch):
    monkeypatch.setattr(module, "JITTER", 0.0)
    monkeypatch.setattr(module, "HUE", 0.0)
    image = torch.full((3, 64, 64), 0.4)
    image[:, :, 32:] = 0.8
    values = [smooth_blend(image, np.random.default_rng(seed))[0] for seed in range(20)]
    assert all(float(value.min()) >= 0.4 - 1e-4 and float(value.max()) <= 0.8 + 1e-4 for value in values)
    assert any(not torch.allclose(value, image, atol=0.1) for value in values)  # from the other half


def test_the_weight_is_a_blurred_rectangle_without_an_edge():
    alpha = smooth_blend(textured(), np.random.default_rng(3))[1].numpy()
    rows, columns = (np.flatnonzero(alpha.max(axis=axis) > 0.5) for axis in (1, 0))
    box = np.zeros_like(alpha)
    box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = 1
    # The rectangle ends between pixels, so scipy's blur of whole ones is near, not equal.
    assert np.abs(alpha - gaussian_filter(box, min(len(rows), len(columns)) / 6)).max() < 0.25
    edge = alpha[alpha > 0].min()
    assert edge < 0.03
    assert np.abs(np.diff(alpha, axis=0)).max() < 0.6


def test_a_blurred_line_is_the_sum_of_gaussians_over_its_length():
    line = module._blurred_line(15, 6.0, 1.2)
    fine = np.linspace(-3, 3, 6001)
    expected = [
        np.mean(np.exp(-((x - fine) ** 2) / 2 / 1.2**2)) * 6 / (1.2 * math.sqrt(2 * math.pi)) for x in np.arange(15) - 7
    ]
    np.testing.assert_allclose(line.numpy(), expected, atol=1e-3)


def test_the_weak_change_is_small_and_everywhere():
    smooth = torch.linspace(0.2, 0.8, 96).expand(3, 96, 96)
    for seed in range(20):
        changed = weak_change(smooth, np.random.default_rng(seed))
        assert changed.shape == smooth.shape
        assert float((changed - smooth).abs().max()) < 0.25
        assert float((changed != smooth).any(dim=0).float().mean()) > 0.9


@pytest.mark.parametrize("change", [lambda *given: smooth_blend(*given)[0], weak_change])
def test_the_same_draws_give_the_same_image(change):
    image = textured()
    first, again, other = (change(image, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
