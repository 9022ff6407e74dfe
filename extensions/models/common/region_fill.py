"""The last step of a pre-processor where a region of interest is set: nothing is left of what lies outside."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torchvision.transforms.v2 import Compose, Transform
from torchvision.tv_tensors import Mask

from extensions.data.regions.foreground import find_foreground


class FillOutside(Transform):
    """Sets pixels outside of a region to 0, which after normalization is the mean color; masks likewise.

    So no pixel outside changes any score, however wide a network looks.

    Args:
        mask: (1, 1, H, W) float, 1 inside, at the size that the network sees; None where none is fixed.
        foreground: Whether only the foreground of each image is inside, see `find_foreground`.
        border: As there.
    """

    mask: torch.Tensor | None
    is_repeatable = True  # not random, and the same for an image alone and in a batch

    def __init__(self, mask: torch.Tensor | None, *, foreground: bool = False, border: int = 0) -> None:
        super().__init__()
        self.register_buffer("mask", mask, persistent=False)
        self.foreground, self.border = foreground, border

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """What is inside of these images, (1 or N, 1, H, W)."""
        images = next(one for one in flat_inputs if isinstance(one, torch.Tensor) and not isinstance(one, Mask))
        return {"inside": self.inside(images.reshape(-1, *images.shape[-3:]))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Images (3, H, W) or (N, 3, H, W), masks (H, W), (1, H, W) or (N, H, W): the same, 0 outside."""
        inside = params["inside"]
        if not isinstance(inpt, Mask):
            return inpt * (inside if inpt.ndim == 4 else inside[0]).to(inpt)
        kept = inside[:, 0] if inpt.ndim == 3 else inside[0, 0]  # (1 or N, H, W) or (H, W)
        return Mask(inpt * kept.to(inpt.dtype))

    def inside(self, images: torch.Tensor) -> torch.Tensor:
        """(1 or N, 1, H, W) float, 1 inside, of images (N, 3, H, W)."""
        mask = self.mask if self.mask is None or self.mask.device == images.device else self.mask.to(images.device)
        if not self.foreground:
            assert mask is not None
            return mask
        found = find_foreground(images.float(), border=self.border)
        return found if mask is None else found * mask

    def extra_repr(self) -> str:
        """What decides the result, in short: caches go by it."""
        digest = (
            "" if self.mask is None else hashlib.sha256(self.mask.to(torch.uint8).cpu().numpy().tobytes()).hexdigest()
        )
        return f"mask={digest}, foreground={self.foreground}, border={self.border}"


def find_fill(pre_processor: Any) -> FillOutside | None:
    """The step of a pre-processor that fills what lies outside; None where all is looked at."""
    return next(
        (step for step in transform_steps(getattr(pre_processor, "transform", None)) if isinstance(step, FillOutside)),
        None,
    )


def transform_steps(transform: Transform | None) -> list[Transform]:
    """The steps of a transform, those of compositions within it in their place."""
    if isinstance(transform, Compose):
        return [step for part in transform.transforms for step in transform_steps(part)]
    return [] if transform is None else [transform]
