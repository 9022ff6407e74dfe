"""What the members of an ensemble do to images: the part that is done once for all, and what is left to each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from anomalib.pre_processing import PreProcessor
from torchvision.transforms.v2 import CenterCrop, Compose, Resize, Transform
from torchvision.tv_tensors import Mask

from extensions.cache.transform_parts import split_transform, transform_repr
from extensions.models.common.limits import seen_size

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule


class MasksOnly(Transform):
    """Brings masks to the size of the maps and leaves images to the members, each of which has a size of its own.

    Args:
        shaping: What is done to masks.
    """

    def __init__(self, shaping: Transform) -> None:
        super().__init__()
        self.shaping = shaping

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """A mask (H, W) or (N, H, W) -> (h, w) or (N, h, w); an image as it is."""
        del params
        return self.shaping(inpt) if isinstance(inpt, Mask) else inpt


class SharedPreProcessor(PreProcessor):
    """That of an ensemble: a checkpoint holds none of it, for it follows from those of the members."""

    def checkpoint_config(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_checkpoint_config(self, config: dict[str, Any]) -> None:
        """Nothing is there."""


@dataclass(frozen=True)
class Shaping:
    """How the members' pre-processing is shared out.

    Attributes:
        shared: Done once, by the ensemble's pre-processor.
        own: Left to each member, in front of its network; None for nothing.
        sizes: Height and width in px that each member sees.
        map_size: The largest of them, that of the maps.
    """

    shared: Transform
    own: list[Transform | None]
    sizes: list[tuple[int, int]]
    map_size: tuple[int, int]


def shaping_of(models: Sequence[AnomalibModule]) -> Shaping:
    """Share out what the members' pre-processors do.

    Where all resize and crop alike that is done once, and each normalizes for itself. Where sizes differ each member
    does all of its own work on the image as it is read, so that it scores as it does alone; maps have the size of the
    largest.

    Raises:
        ValueError: A member has no fixed size, does something random, or sees another part of an image.
    """
    transforms = [_transform(model) for model in models]
    sizes = []
    for model, transform in zip(models, transforms, strict=True):
        size = seen_size(transform)
        if size is None or split_transform(transform) is None:
            msg = (
                f"{type(model).__name__} as a member of an Ensemble needs a pre-processor that resizes to a fixed "
                f"height and width and draws nothing at random, found {transform_repr(transform)[:150]}: give it an "
                "image_size"
            )
            raise ValueError(msg)
        sizes.append(size)
    shares = {_seen_part(transform) for transform in transforms}
    if len(shares) > 1:
        told = "; ".join(transform_repr(transform)[:100] for transform in transforms)
        msg = (
            "the members of an Ensemble must see the same part of an image, for their maps are laid over each other, "
            f"found {told}: leave center_crop out, or give all the same share of image_size"
        )
        raise ValueError(msg)
    parts = [split_transform(transform) for transform in transforms]
    fixed = [(part[0] if part else None) or Compose([]) for part in parts]
    largest = max(range(len(sizes)), key=lambda place: sizes[place][0] * sizes[place][1])
    if len({_stored(one) for one in fixed}) == 1:
        return Shaping(fixed[0], [part[1] if part else None for part in parts], sizes, sizes[largest])
    return Shaping(MasksOnly(fixed[largest]), list(transforms), sizes, sizes[largest])


def _transform(model: AnomalibModule) -> Transform:
    found: Transform | None = getattr(model.pre_processor, "transform", None)
    return Compose([]) if found is None else found


def _stored(transform: Transform) -> str:
    """As it comes back from a checkpoint, which spells some settings in another way."""
    from anomalib.pre_processing.utils.spec import spec_to_transform, transform_to_spec

    try:
        return transform_repr(spec_to_transform(transform_to_spec(transform)))
    except ValueError:
        return transform_repr(transform)


def _seen_part(transform: Transform) -> tuple[float, float]:
    """Share of an image's height and width that is seen."""
    resized, kept = (1, 1), None
    for step in transform.transforms if isinstance(transform, Compose) else [transform]:
        if isinstance(step, Resize) and len(step.size) == 2:
            resized = (step.size[0], step.size[1])
        elif isinstance(step, CenterCrop):
            kept = (step.size[0], step.size[1])
    return (1.0, 1.0) if kept is None else (round(kept[0] / resized[0], 4), round(kept[1] / resized[1], 4))
