"""Views of an image that move its pixels, as matrices, so that a map of a view can be moved back."""

import math

import torch
from torch.nn import functional as F

# A matrix is (2, 3): where a place of the view lies in the image, both in [-1, 1] from edge to edge, x before y.


def turn(degrees: float, size: tuple[int, int]) -> torch.Tensor:
    """Turn the image about its center, counterclockwise.

    Args:
        degrees: By how much.
        size: Height and width of the image, which say what a right angle is.
    """
    height, width = size
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return torch.tensor([[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]])


def window(left: float, top: float, share: float) -> torch.Tensor:
    """Enlarge a window of the image to its size.

    Args:
        left: Where the window begins, as a share of the width.
        top: The same of the height.
        share: Of the image's sides.
    """
    return torch.tensor([[share, 0.0, 2 * left + share - 1], [0.0, share, 2 * top + share - 1]])


def mirror(*, horizontally: bool, vertically: bool) -> torch.Tensor:
    """Swap left and right, top and bottom, or both."""
    return torch.tensor([[-1.0 if horizontally else 1.0, 0.0, 0.0], [0.0, -1.0 if vertically else 1.0, 0.0]])


def warp(pixels: torch.Tensor, matrix: torch.Tensor, *, mode: str = "bilinear") -> torch.Tensor:
    """The view; what lies beyond the image's edges is the image mirrored at them.

    Args:
        pixels: (..., H, W) float.
        matrix: (2, 3).
        mode: `bilinear` or `nearest`.

    Returns:
        (..., H, W).
    """
    return _sample(pixels, matrix, mode=mode, beyond="reflection")


def warp_back(maps: torch.Tensor, matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A map of the view where it belongs in the image.

    Args:
        maps: (..., H, W) float, of the view; its size need not be the image's.
        matrix: Of the view.

    Returns:
        (..., H, W) and (H, W) bool, where the view shows the image; elsewhere the map means nothing.
    """
    whole = torch.cat([matrix, matrix.new_tensor([[0.0, 0.0, 1.0]])])
    back = torch.linalg.inv(whole)[:2]
    seen = _sample(maps.new_ones(maps.shape[-2:]), back, beyond="zeros")
    return _sample(maps, back, beyond="border"), seen > 0.999


def _sample(pixels: torch.Tensor, matrix: torch.Tensor, *, beyond: str, mode: str = "bilinear") -> torch.Tensor:
    flat = pixels.reshape(1, -1, *pixels.shape[-2:])  # (1, C, H, W)
    grid = F.affine_grid(matrix[None].to(flat), list(flat.shape), align_corners=False)
    return F.grid_sample(flat, grid, mode=mode, padding_mode=beyond, align_corners=False).reshape(pixels.shape)
