"""The default pre-processors: resize, optionally crop the center, and normalize as a backbone's weights expect."""

import logging
from functools import lru_cache

from anomalib.pre_processing import PreProcessor
from torchvision.transforms.v2 import CenterCrop, Compose, Normalize, Resize, Transform

from extensions.backbones import normalization
from extensions.backbones.transformers import fitting_size, patch_size
from extensions.configuration.python_numbers import python_numbers
from extensions.models.common.region_fill import FillOutside

ImageSize = int | tuple[int, int]

logger = logging.getLogger(__name__)


def default_pre_processor(
    backbone: str, *, image_size: ImageSize = 256, center_crop: ImageSize | None = None
) -> PreProcessor:
    """Build the pre-processor that a model of ours uses unless it is given another one.

    For a transformer, the size that its network sees is the nearest that its patches fit; a sentence in the log says so
    once. The transform holds that size, so a checkpoint and an exported model have it, too.

    Args:
        backbone: timm name; decides mean and standard deviation.
        image_size: Height and width in px that an image is resized to (with antialiasing); one number for both.
        center_crop: Height and width in px of the center that is kept after resizing; None keeps everything.

    Raises:
        ValueError: A size is not positive, or the crop is larger than the image.
    """
    _shaping(image_size, center_crop)  # refuses what was asked for in its own words
    if center_crop is None:
        image_size = _fitted(backbone, image_size, "image_size")
    else:
        center_crop = _fitted(backbone, center_crop, "center_crop")
        image_size = _at_least(size_pair(image_size, "image_size"), size_pair(center_crop, "center_crop"))
    shaping = _shaping(image_size, center_crop)
    mean, std = normalization(backbone)
    return PreProcessor(transform=Compose([*shaping, Normalize(mean=list(mean), std=list(std))]))


def pixel_pre_processor(*, image_size: ImageSize, center_crop: ImageSize | None = None) -> PreProcessor:
    """Build the pre-processor of a model that sees pixels as they are, in 0 to 1; see `default_pre_processor`."""
    return PreProcessor(transform=Compose(_shaping(image_size, center_crop)))


def _fitted(backbone: str, size: ImageSize, argument: str) -> ImageSize:
    """The size, or the nearest that a backbone's patches fit."""
    asked = size_pair(size, argument)
    fitting = fitting_size(backbone, asked)
    if fitting == asked:
        return size
    _say_once(
        f"{argument} is {fitting[0]} x {fitting[1]} px and not {asked[0]} x {asked[1]}: backbone {backbone} has "
        f"patches of {patch_size(backbone)} px"
    )
    return fitting


def _at_least(size: tuple[int, int], least: tuple[int, int]) -> tuple[int, int]:
    return max(size[0], least[0]), max(size[1], least[1])


@lru_cache(maxsize=256)
def _say_once(sentence: str) -> None:
    logger.warning(sentence)


class ImagePreProcessor(PreProcessor):
    """The pre-processor of our models, for anomalib's own, which have no `image_size` and expect ImageNet's colors.

    Stands as `pre_processor` in the entry of a model, in a config of the command line, a sweep or a notebook.

    Args:
        image_size: Height and width in px that an image is resized to, with antialiasing; one number for both.
        backbone: timm name; decides mean and standard deviation. None leaves pixels in 0 to 1 (GANomaly, DRAEM, DSR
            and EfficientAD normalize by themselves or not at all).
        center_crop: Height and width in px of the center that is kept after resizing; None keeps everything.

    Raises:
        ValueError: A size is not positive, the crop is larger than the image, or timm does not know the backbone.

    Example:
        >>> processor = ImagePreProcessor(320, backbone="tf_efficientnet_lite0")
        >>> model = anomalib.models.Dfm("tf_efficientnet_lite0", layer="blocks.4", pre_processor=processor)
    """

    def __init__(
        self, image_size: ImageSize = 256, *, backbone: str | None = None, center_crop: ImageSize | None = None
    ) -> None:
        if backbone is None:
            built = pixel_pre_processor(image_size=image_size, center_crop=center_crop)
        else:
            built = default_pre_processor(backbone, image_size=image_size, center_crop=center_crop)
        super().__init__(transform=built.transform)


def _shaping(image_size: ImageSize, center_crop: ImageSize | None) -> list[Transform]:
    height, width = size_pair(image_size, "image_size")
    transforms: list[Transform] = [Resize((height, width), antialias=True)]
    if center_crop is not None:
        crop = size_pair(center_crop, "center_crop")
        if crop[0] > height or crop[1] > width:
            msg = f"center_crop {crop} is larger than image_size {(height, width)}: make it smaller or leave it out."
            raise ValueError(msg)
        transforms.append(CenterCrop(crop))
    return transforms


def size_pair(size: ImageSize, argument: str) -> tuple[int, int]:
    """Return (height, width) in px; ValueError naming `argument` unless both are positive whole numbers."""
    size = python_numbers(size)
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
        msg = f"{argument} is {size!r}; expected one positive number of px or (height, width)."
        raise ValueError(msg)
    return pair[0], pair[1]


def last_normalization(transform: Transform | None) -> Normalize | None:
    """The normalization at the end of a pre-processor's transform, None without one."""
    if isinstance(transform, Compose):
        steps = [step for step in transform.transforms if not isinstance(step, FillOutside)]
        return last_normalization(steps[-1]) if steps else None
    return transform if isinstance(transform, Normalize) else None
