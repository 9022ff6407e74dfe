"""Small changes of an image: a soft local one that looks like a defect, and a weak global one that does not."""

import math
from statistics import NormalDist

import numpy as np
import torch
from torchvision.transforms.v2 import functional as TF

AREA = (0.002, 0.02)  # share of an image that is pasted
ASPECT = 3.0  # most that a patch is longer than wide, or wider
SMALLEST = 2.0  # px a side
RAMP = 1 / 6  # standard deviation of the blur, of a patch's shorter side
JITTER, HUE = 0.4, 0.1  # of a patch's colors
WEAK_JITTER, WEAK_CROP = 0.1, 0.9  # of the whole image's colors; least share of its area
_REACH = 2.5  # standard deviations: farther out, less than 1 % of the patch shows


def smooth_blend(image: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Paste a small patch of an image elsewhere in it, in other colors and without a hard edge.

    SmoothBlend of Zou, Jeong, Pemula, Zhang, Dabeer, "SPot-the-Difference Self-Supervised Pre-training for Anomaly
    Detection and Segmentation", 2022, https://arxiv.org/abs/2207.14315, whose code was not published: area, aspect,
    jitter and blur are ours. The patch's rectangle is blurred by a Gaussian and weighs patch against image.

    Args:
        image: (3, H, W), 0 to 1.
        rng: Draws place, size and colors.

    Returns:
        The image (3, H, W), 0 to 1, and the patch's weight in it (H, W), 0 to 1.
    """
    height, width = image.shape[1:]
    area = math.exp(rng.uniform(*np.log(AREA))) * height * width
    aspect = math.exp(rng.uniform(-1, 1) * math.log(ASPECT))
    asked = math.sqrt(area / aspect), math.sqrt(area * aspect)  # (h, w) px
    size = [min(max(SMALLEST, part), side / 2) for part, side in zip(asked, (height, width), strict=True)]
    sigma = RAMP * min(size)
    box = [min(side, math.ceil(part + 2 * _REACH * sigma)) for part, side in zip(size, (height, width), strict=True)]
    (top, left), (to_top, to_left) = (
        [int(rng.integers(side - part + 1)) for part, side in zip(box, (height, width), strict=True)] for _ in range(2)
    )
    patch = _jittered(image[:, top : top + box[0], left : left + box[1]], rng, strength=JITTER, hue=HUE)
    alpha = image.new_zeros(height, width)
    rows, columns = (_blurred_line(n, part, sigma) for n, part in zip(box, size, strict=True))
    place = slice(to_top, to_top + box[0]), slice(to_left, to_left + box[1])
    alpha[place] = torch.outer(rows, columns)
    blended = image.clone()
    blended[:, *place] += alpha[place] * (patch - blended[:, *place])
    return blended, alpha


def weak_change(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Shift, enlarge and recolor a whole image a little: the positive that stands against `smooth_blend`.

    The paper asks for weak global augmentations; their kind and strength are ours.

    Args:
        image: (3, H, W), 0 to 1.
        rng: Draws how.

    Returns:
        (3, H, W), 0 to 1.
    """
    height, width = image.shape[1:]
    share = math.sqrt(rng.uniform(WEAK_CROP, 1))
    h, w = round(share * height), round(share * width)
    top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    moved = TF.resized_crop(image, top, left, h, w, [height, width], antialias=True)
    return _jittered(moved, rng, strength=WEAK_JITTER, hue=0.0)


def _jittered(image: torch.Tensor, rng: np.random.Generator, *, strength: float, hue: float) -> torch.Tensor:
    """Other brightness, contrast, saturation and hue: factors from 1 - strength to 1 + strength."""
    brightness, contrast, saturation = (float(factor) for factor in rng.uniform(1 - strength, 1 + strength, 3))
    changed = TF.adjust_contrast(TF.adjust_brightness(image, brightness), contrast)
    changed = TF.adjust_saturation(changed, saturation)
    return TF.adjust_hue(changed, float(rng.uniform(-hue, hue))) if hue else changed


def _blurred_line(n: int, length: float, sigma: float) -> torch.Tensor:
    """(n,) pixels of a line of a length in their middle, blurred by a Gaussian: its integral, in closed form."""
    normal = NormalDist(sigma=sigma)
    from_middle = [index - (n - 1) / 2 for index in range(n)]
    return torch.tensor([normal.cdf(at + length / 2) - normal.cdf(at - length / 2) for at in from_middle])
