"""A whole image at another size, in 8 bits, the same wherever it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import torch


def resized_pixels(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image (H, W, C) uint8 at another height and width, bilinear with antialiasing, rounded to 8 bits.

    Rounded, because an exported network takes 8 bits: so it is given in training what it is given on the line.
    """
    if image.shape[:2] == size:
        return image
    planes = [Image.fromarray(image[..., place]) for place in range(image.shape[2])]
    return np.stack([np.asarray(one.resize(size[::-1], Image.Resampling.BILINEAR)) for one in planes], axis=-1)


def resized_image(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """`resized_pixels` of an image (C, H, W) float in 0 to 1."""
    import torch

    if tuple(image.shape[-2:]) == size:
        return image
    pixels = (image * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).cpu().numpy()  # (H, W, C)
    found = torch.from_numpy(resized_pixels(pixels, size)).permute(2, 0, 1)  # (C, H, W)
    return found.to(image.device, image.dtype) / 255
