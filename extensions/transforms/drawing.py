"""One random view of an image, the same in every process."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torchvision.transforms import v2
from torchvision.tv_tensors import Image, Mask

from extensions.transforms.named import GeometricTransform


@dataclass(frozen=True)
class View:
    """What an augmentation made of an image.

    Attributes:
        image: (3, H, W).
        mask: (H, W), moved as the image was; None where there was none.
        matrix: (2, 3), see `extensions.transforms.geometry`; None where no pixel moved.
    """

    image: torch.Tensor
    mask: torch.Tensor | None
    matrix: torch.Tensor | None


def draw_view(
    transform: v2.Transform, image: torch.Tensor, mask: torch.Tensor | None, *, name: str, seed: tuple[int, ...]
) -> View:
    """Draw a view; torch's generator is afterwards as it was before.

    Args:
        transform: Of `extensions.transforms.augmentation`.
        image: (3, H, W) in [0, 1].
        mask: (H, W) or None.
        name: Of the image; it and the seed alone decide what is drawn.
        seed: Whole numbers from 0 on, such as that of the run, the split and the epoch.
    """
    digest = np.frombuffer(hashlib.sha256(name.encode(errors="surrogateescape")).digest(), np.uint32)
    drawn_from = int(np.random.default_rng([*seed, *digest.tolist()]).integers(2**63))
    parts = [Image(image), *([] if mask is None else [Mask(mask)])]
    matrix = None
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(drawn_from)
        if isinstance(transform, GeometricTransform):
            params = transform.make_params(parts)
            matrix = params["matrix"]
            moved = [transform.transform(part, params) for part in parts]
        else:
            moved = list(transform(*parts)) if mask is not None else [transform(*parts)]
    return View(moved[0], moved[1] if mask is not None else None, matrix)
