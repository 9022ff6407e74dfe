"""Random views of images, as SimCLR makes them."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torchvision.transforms import v2

from extensions.configuration.checked_values import is_number
from extensions.configuration.errors import did_you_mean
from extensions.runtime.seeding import seeded

# SimCLR crops down to 0.08 of the area and distorts colors at strength 1, which leaves little of a small product.
MILD: dict[str, Any] = {"min_scale": 0.2, "cj_strength": 0.5}
_OURS = ("input_size", "normalize")


def check_view_settings(settings: Mapping[str, Any]) -> None:
    """Refuse what lightly's `SimCLRViewTransform` does not know.

    Raises:
        ValueError: An unknown name, one that the image decides, or a value that cannot be.
    """
    if not settings:
        return
    from lightly.transforms import SimCLRViewTransform

    known = inspect.signature(SimCLRViewTransform).parameters.keys() - set(_OURS)
    for name in settings:
        if name not in known:
            msg = f"views: unknown setting {name!r}{did_you_mean(name, known, list_all=True)}"
            raise ValueError(msg)
    for name, value in settings.items():
        if name.endswith("_prob") and not (is_number(value) and 0 <= value <= 1):
            msg = f"views.{name} is {value!r}; expected a probability, 0 to 1"
            raise ValueError(msg)
    certain = {name: float(value > 0) for name, value in settings.items() if name.endswith("_prob")}
    try:
        with seeded(0):
            SimCLRViewTransform(input_size=32, normalize=None, **{**settings, **certain})(torch.zeros(3, 32, 32))
    except (ArithmeticError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        msg = f"views: lightly's SimCLRViewTransform cannot work with {dict(settings)}: {error}"
        raise ValueError(msg) from error


def make_views(
    images: torch.Tensor, *, settings: Mapping[str, Any], normalize: v2.Normalize | None, seed: int
) -> torch.Tensor:
    """Make two random views of each image: crop, flip, color distortion, grayscale, blur.

    Args:
        images: (N, 3, H, W), normalized.
        settings: Of lightly's `SimCLRViewTransform`.
        normalize: What was done to pixels in 0 to 1 to normalize them; None for nothing.
        seed: Of all that is drawn; the state of the global generators is left as it was.

    Returns:
        (2, N, 3, H, W), normalized again.
    """
    from lightly.transforms import SimCLRViewTransform

    augment = SimCLRViewTransform(input_size=tuple(images.shape[-2:]), normalize=None, **settings)
    mean, std = (normalize.mean, normalize.std) if normalize is not None else ([0.0] * 3, [1.0] * 3)
    shift, scale = (torch.as_tensor(list(values), dtype=torch.float32)[:, None, None] for values in (mean, std))
    pixels = (images.detach().float().cpu() * scale + shift).clamp(0, 1)  # lightly blurs through Pillow, on the CPU
    with seeded(seed):
        views = torch.stack([torch.stack([augment(image) for image in pixels]) for _ in range(2)])
    return ((views - shift) / scale).to(images)  # (2, N, 3, H, W)
