"""The named augmentations, as transforms of torchvision v2 on images of values in [0, 1]."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torchvision.transforms import v2
from torchvision.tv_tensors import Mask, wrap

from extensions.configuration.errors import ConfigError, did_you_mean
from extensions.transforms.geometry import mirror, turn, warp, window
from extensions.transforms.settings import IDENTITY, NAMES

CROP_SHARE = 256 / 288  # of each side
DEGREES = 20.0
BLUR_KERNEL = 11  # px
SOLARIZE_THRESHOLD = 0.1  # of the brightest value


class GeometricTransform(v2.Transform):
    """Moves the pixels of images and masks alike, and says how in a matrix of `extensions.transforms.geometry`.

    The size stays; what comes into view beyond an edge is the image mirrored there, for a black corner would be a
    defect of our own making. Masks follow by the nearest pixel.
    """

    @abstractmethod
    def draw(self, size: tuple[int, int]) -> torch.Tensor:
        """(2, 3), drawn for an image of this height and width from torch's generator."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """One matrix for all of an image."""
        return {"matrix": self.draw((flat_inputs[0].shape[-2], flat_inputs[0].shape[-1]))}

    def transform(self, inpt: torch.Tensor, params: dict[str, Any]) -> torch.Tensor:
        """Move one image (..., H, W) float, or mask (..., H, W)."""
        if not isinstance(inpt, Mask):
            return wrap(warp(inpt.as_subclass(torch.Tensor), params["matrix"]), like=inpt)
        marks = inpt.as_subclass(torch.Tensor)
        return wrap(warp(marks.float(), params["matrix"], mode="nearest").to(marks.dtype), like=inpt)


class RandomWindow(GeometricTransform):
    """A window of 256 of 288 px of each side, or the same share at other sizes, enlarged to the image's size.

    As drawing 256 px from an image of 288 px, but from an image that was brought to the detector's size before.
    """

    def draw(self, size: tuple[int, int]) -> torch.Tensor:
        """Anywhere inside the image."""
        left, top = (torch.rand(2) * (1 - CROP_SHARE)).tolist()
        return window(left, top, CROP_SHARE)


class RandomRotation(GeometricTransform):
    """A turn by up to 20 degrees either way."""

    def draw(self, size: tuple[int, int]) -> torch.Tensor:
        """By any angle of these, all as likely."""
        return turn(float(torch.empty(1).uniform_(-DEGREES, DEGREES)), size)


class RandomFlip(GeometricTransform):
    """Left and right swapped, top and bottom swapped, each every other time."""

    def draw(self, size: tuple[int, int]) -> torch.Tensor:
        """One of four, all as likely."""
        horizontally, vertically = (torch.rand(2) < 0.5).tolist()
        return mirror(horizontally=horizontally, vertically=vertically)


_MAKERS: dict[str, Callable[[], v2.Transform]] = {
    IDENTITY: v2.Identity,
    "random_crop": RandomWindow,
    "autocontrast": v2.RandomAutocontrast,
    "rotation": RandomRotation,
    "gaussian_blur": lambda: v2.GaussianBlur(BLUR_KERNEL),
    "solarize": lambda: v2.RandomSolarize(SOLARIZE_THRESHOLD),
    "flip": RandomFlip,
}
assert tuple(_MAKERS) == NAMES


def augmentation(name: str) -> v2.Transform:
    """The augmentation of this name: a transform of an image (3, H, W) in [0, 1], with its mask or without.

    - `identity`: the image as it is.
    - `random_crop`: see `RandomWindow`.
    - `autocontrast`: each channel stretched to the whole range, every other time.
    - `rotation`: see `RandomRotation`.
    - `gaussian_blur`: kernel of 11 px, sigma from 0.1 to 2 px.
    - `solarize`: values of 0.1 and above inverted, every other time.
    - `flip`: see `RandomFlip`.

    What is not said is torchvision's default. Each call draws from torch's generator.

    Raises:
        ConfigError: There is none of this name; it lists those there are.

    Example:
        >>> image, mask = augmentation("rotation")(tv_tensors.Image(image), tv_tensors.Mask(mask))
        >>> Elpv(train_augmentations=augmentation("flip"))
    """
    if name not in _MAKERS:
        msg = f"augmentation: name: there is no {name!r}{did_you_mean(str(name), NAMES, list_all=True)}"
        raise ConfigError(msg)
    return _MAKERS[name]()
