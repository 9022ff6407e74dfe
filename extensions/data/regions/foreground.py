"""The foreground of images by tensors alone, so that an exported network finds the same."""

import torch
from torch.nn import functional as F

SIDE = 64  # px, of the image that the threshold is found on
LEVELS = 64  # of a threshold
UNEVEN = 0.5  # standard deviations of ImageNet's colors: mean deviation of the rim from its mean color
LEAST = 0.05
CLOSED = 32  # gaps of the product up to one part in so many of the image's larger side are closed


def find_foreground(images: torch.Tensor, *, border: int = 0) -> torch.Tensor:
    """Tell the product from the background it lies on.

    Background looks like the rim of the image: the distance of a pixel's color to the mean color of the rim lies below
    Otsu's threshold (Otsu, "A Threshold Selection Method from Gray-Level Histograms", 1979,
    https://doi.org/10.1109/TSMC.1979.4310076), and on a straight line, up, down, left or right, nothing but background
    lies between it and the rim. So a dark hole inside a product is product, whatever its color; a chip at its edge is
    background. Small gaps are closed first. Where the rim is of several colors, or less than 5 % or more than 95 %
    would be product, all of the image is.

    Args:
        images: (N, 3, H, W), normalized.
        border: Width in px of the rim that is taken off the product.

    Returns:
        (N, 1, H, W) float32, 1 on the product, else 0.
    """
    rim = torch.cat([images[:, :, 0], images[:, :, -1], images[:, :, :, 0], images[:, :, :, -1]], dim=2)  # (N, 3, R)
    color = rim.mean(dim=2, keepdim=True)  # (N, 3, 1)
    is_even = (rim - color).abs().mean(dim=(1, 2)) <= UNEVEN  # (N,)
    smooth = F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    distance = (smooth - color[..., None]).abs().mean(dim=1, keepdim=True)  # (N, 1, H, W)
    small = F.interpolate(distance, size=(SIDE, SIDE), mode="nearest").flatten(1)  # (N, SIDE * SIDE)
    product = (distance > otsu(small)[:, None, None, None]).float()
    side = max(images.shape[-2:]) // CLOSED | 1
    product = _least(_most(product, side), side)
    height, width = product.shape[-2:]
    down, right = product.cumsum(dim=2), product.cumsum(dim=3)  # product pixels up to and with this one
    up, left = down[:, :, height - 1 :] - down, right[..., width - 1 :] - right  # those after it
    is_open = (down == 0) | (right == 0) | ((up == 0) & (product == 0)) | ((left == 0) & (product == 0))
    inside = (~is_open).float()
    if border:
        inside = _least(inside, 2 * border + 1)
    share = inside.mean(dim=(1, 2, 3))
    is_found = is_even & (share >= LEAST) & (share <= 1 - LEAST)
    return torch.where(is_found[:, None, None, None], inside, torch.ones_like(inside))


def otsu(values: torch.Tensor) -> torch.Tensor:
    """The threshold between two kinds of values that parts them best, of 64 between the least and the largest.

    Args:
        values: (N, P).

    Returns:
        (N,).
    """
    low, high = values.amin(dim=1, keepdim=True), values.amax(dim=1, keepdim=True)
    steps = (torch.arange(LEVELS, device=values.device) + 0.5) / LEVELS
    levels = low + (high - low) * steps.to(values)  # (N, L)
    above = (values[:, None] > levels[..., None]).to(values)  # (N, L, P)
    share = above.mean(dim=2)
    mean, mean_above = values.mean(dim=1, keepdim=True), (above * values[:, None]).mean(dim=2)
    between = (mean_above - share * mean).square() / (share * (1 - share)).clamp_min(1e-9)  # (N, L)
    best: torch.Tensor = levels.gather(1, between.argmax(dim=1, keepdim=True))[:, 0]
    return best


def _most(maps: torch.Tensor, side: int) -> torch.Tensor:
    """The largest value in a square of an odd side around each pixel."""
    rows = F.max_pool2d(maps, (side, 1), stride=1, padding=(side // 2, 0))
    return F.max_pool2d(rows, (1, side), stride=1, padding=(0, side // 2))


def _least(maps: torch.Tensor, side: int) -> torch.Tensor:
    return 1 - _most(1 - maps, side)
