"""Defects drawn on images that a model is trained on, at the size and in the range in which it sees them."""

from typing import Literal

import numpy as np
import torch
from torchvision.transforms.v2 import Normalize

Drawing = Literal["noise", "nsa", "cutpaste", "none"]

KINDS = {"nsa": ("nsa",), "cutpaste": ("cutpaste", "scar")}
MOST_RECTANGLES = 4
CLEAN = 1 / (MOST_RECTANGLES + 1)  # of the images stay as they are, with rectangles by their number


def draw_defects(
    images: torch.Tensor, drawing: Drawing, *, normalize: Normalize | None, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw defects on four of five images.

    `noise` is that of Cao et al. 2023, https://arxiv.org/abs/2302.08769: 0 to 4 rectangles of half a side of 1/40 to
    1/10 of the image's, each pixel of which is any color of 0 to 254. Differs from the authors' code: they may lie on
    the background. `nsa` and `cutpaste` (its patches and scars) are those of `extensions.data.synthetic.defects`; the
    patches come from the next image of the batch.

    Args:
        images: (N, 3, H, W), good ones, normalized.
        drawing: What is drawn; `none` draws nothing.
        normalize: What was done to pixels in 0 to 1; None for nothing.
        seed: Of all that is drawn; the state of the global generators is left as it was.

    Returns:
        Images (N, 3, H, W), normalized, that differ from those given on defects alone, and where they are,
        (N, 1, H, W) bool.
    """
    if drawing == "none" or not len(images):
        return images, torch.zeros_like(images[:, :1], dtype=torch.bool)
    mean, std = (normalize.mean, normalize.std) if normalize is not None else ([0.0] * 3, [1.0] * 3)
    shift, scale = (torch.as_tensor(list(values), dtype=torch.float32)[:, None, None] for values in (mean, std))
    pixels = (images.detach().float().cpu() * scale + shift).clamp(0, 1).mul(255).round()  # (N, 3, H, W)
    before = pixels.byte().permute(0, 2, 3, 1).numpy()  # (N, H, W, 3)
    drawn = [_draw(before, index, drawing, np.random.default_rng([seed, index])) for index in range(len(before))]
    after = torch.from_numpy(np.stack([image for image, _ in drawn])).permute(0, 3, 1, 2)  # (N, 3, H, W)
    marked = torch.from_numpy(np.stack([mask for _, mask in drawn]))[:, None].to(images.device)  # (N, 1, H, W)
    return torch.where(marked, ((after / 255 - shift) / scale).to(images), images), marked


def _draw(images: np.ndarray, index: int, drawing: Drawing, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One image (H, W, 3) uint8 with what was drawn on it, and where (H, W)."""
    image = images[index]
    if drawing == "noise":
        return noise_rectangles(image, rng)
    if rng.random() < CLEAN:
        return image, np.zeros(image.shape[:2], dtype=bool)
    from extensions.data.synthetic.defects import draw_defect

    defect = draw_defect(image, images[(index + 1) % len(images)], rng, kinds=KINDS[drawing])
    return defect.image, defect.mask


def noise_rectangles(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Image (H, W, 3) uint8 with 0 to 4 rectangles of noise, and where they are (H, W) bool."""
    drawn, mask = image.copy(), np.zeros(image.shape[:2], dtype=bool)
    for _ in range(rng.integers(MOST_RECTANGLES + 1)):
        place = tuple(_extent(side, rng) for side in image.shape[:2])
        drawn[place] = rng.integers(255, size=drawn[place].shape, dtype=np.uint8)
        mask[place] = True
    return drawn, mask


def _extent(side: int, rng: np.random.Generator) -> slice:
    """Where a rectangle lies along a side of so many px."""
    least = max(1, side // 40)
    half = int(rng.integers(least, max(side // 10, least + 1)))
    center = int(rng.integers(half, max(side - half, half) + 1))
    return slice(center - half, center + half)
