"""How a model prepares images: resize, crop, normalize; read from its pre-processor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from extensions.data.cutting import fill_of_channels, fixed_mask
from extensions.data.imaging import Imaging
from extensions.data.regions.region import Region
from extensions.data.value_range import ValueRange

if TYPE_CHECKING:
    from anomalib.models import AnomalibModule


@dataclass(frozen=True)
class Preprocessing:
    """What happens to an image with values from 0 to 1 before the network sees it.

    Attributes:
        resize: Height and width in px.
        antialias: Whether pixels are averaged when an image shrinks.
        crop: Top, left, height and width in px of what is kept after resizing; None keeps everything.
        mean: Subtracted, for each channel; one number for all of them.
        std: Divided by afterwards.
        n_channels: Of the images.
        range: What becomes 0 and 1 of the values that images are handed over in; None for 8 bits.
        looked_at: The region outside of which images are filled before they are resized; None for all of them.
        fill: By what, for each channel, as images are handed over.
    """

    resize: tuple[int, int]
    antialias: bool = True
    crop: tuple[int, int, int, int] | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    n_channels: int = 3
    range: ValueRange | None = None
    looked_at: Region | None = None
    fill: tuple[float, ...] | None = None

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in px of what the network sees."""
        return self.resize if self.crop is None else self.crop[2:]

    @property
    def region(self) -> tuple[float, float, float, float]:
        """Top, left, bottom and right of what the network sees, as parts of an image's height and width."""
        if self.crop is None:
            return 0.0, 0.0, 1.0, 1.0
        (height, width), (top, left, rows, columns) = self.resize, self.crop
        return top / height, left / width, (top + rows) / height, (left + columns) / width


def preprocessing_of(model: AnomalibModule) -> Preprocessing:
    """Read a model's pre-processor.

    Raises:
        ValueError: It does not resize to a fixed height and width first, or does what cannot be put into the graph.
    """
    found: dict[str, Any] = {}
    for transform in _steps(getattr(model.pre_processor, "transform", None)):
        kind = type(transform).__name__
        if kind == "FillOutside":  # of a region of interest; the exported network does it itself
            continue
        if kind == "Resize" and not found and _is_plain(transform):
            found["resize"], found["antialias"] = tuple(transform.size), bool(transform.antialias)
        elif (
            kind in ("CenterCrop", "ExportableCenterCrop") and "resize" in found and not found.keys() & {"crop", "mean"}
        ):
            found["crop"] = _centered(found["resize"], transform.size)
        elif kind == "Normalize" and "resize" in found and "mean" not in found:
            found["mean"], found["std"] = tuple(map(float, transform.mean)), tuple(map(float, transform.std))
        else:
            msg = (
                f"the model's pre-processor has {' '.join(repr(transform).split())}; an exported network can hold a "
                "bilinear Resize to (height, width), then a CenterCrop within it, then Normalize: train with these"
            )
            raise ValueError(msg)
    if "resize" not in found:
        msg = "the model does not resize images, so its network has no size to be exported for: train it with one"
        raise ValueError(msg)
    imaging = getattr(model, "imaging", Imaging())
    looked_at = imaging.region if fixed_mask(imaging) is not None and imaging.tiling is None else None
    fill = None if looked_at is None else tuple(fill_of_channels(imaging).tolist())
    return Preprocessing(**found, n_channels=imaging.n_channels, range=imaging.range, looked_at=looked_at, fill=fill)


def inputs_of(model: AnomalibModule) -> tuple[list[Preprocessing], list[int]]:
    """How images are prepared for each input of a model's network, and which input each member of an ensemble sees.

    A network that is no ensemble has one input; members that prepare images alike share one.

    Raises:
        ValueError: As `preprocessing_of`.
    """
    found: list[Preprocessing] = []
    places: list[int] = []
    for member in getattr(model, "members", None) or [model]:
        one = preprocessing_of(member)
        if one not in found:
            found.append(one)
        places.append(found.index(one))
    return found, places


def _steps(transform: Any) -> Iterator[Any]:
    if transform is None:
        return
    if type(transform).__name__ == "MasksOnly":  # of an ensemble whose members see other sizes: that of its maps
        yield from _steps(transform.shaping)
    elif type(transform).__name__ == "Compose":
        for one in transform.transforms:
            yield from _steps(one)
    else:
        yield transform


def _is_plain(resize: Any) -> bool:
    mode = getattr(resize.interpolation, "value", resize.interpolation)
    return len(resize.size) == 2 and mode == "bilinear" and resize.max_size is None


def _centered(size: tuple[int, int], crop: Any) -> tuple[int, int, int, int]:
    """As torchvision places it."""
    height, width = crop
    if height > size[0] or width > size[1]:
        msg = f"the model crops {height} x {width} px out of images of {size[0]} x {size[1]}: train it with less"
        raise ValueError(msg)
    return round((size[0] - height) / 2), round((size[1] - width) / 2), height, width
