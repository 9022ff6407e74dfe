"""Items and batches of images of any number of channels; anomalib's own take three."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from anomalib.data.dataclasses import ImageBatch, ImageItem
from torchvision.transforms.v2.functional import to_dtype_image
from torchvision.tv_tensors import Image

RGB = 3


@dataclass
class ChannelItem(ImageItem):
    """An image (C, H, W)."""

    @staticmethod
    def validate_image(image: torch.Tensor) -> torch.Tensor:
        """The image as float32; ValueError unless it is (C, H, W)."""
        if image.ndim != 3:
            msg = f"an image of shape {tuple(image.shape)}; expected (C, H, W)"
            raise ValueError(msg)
        return to_dtype_image(image, torch.float32, scale=True)


@dataclass
class ChannelBatch(ImageBatch):
    """Images (N, C, H, W)."""

    item_class: ClassVar[type[ImageItem]] = ChannelItem

    @staticmethod
    def validate_image(image: torch.Tensor) -> torch.Tensor:
        """The images as float32; ValueError unless they are (N, C, H, W)."""
        if image.ndim != 4:
            msg = f"images of shape {tuple(image.shape)}; expected (N, C, H, W)"
            raise ValueError(msg)
        return Image(image, dtype=torch.float32)  # as anomalib's


def item_class(n_channels: int) -> type[ImageItem]:
    """The class of items of so many channels: anomalib's own for three."""
    return ImageItem if n_channels == RGB else ChannelItem


def batch_class(n_channels: int) -> type[ImageBatch]:
    """The class of batches of so many channels: anomalib's own for three."""
    return ImageBatch if n_channels == RGB else ChannelBatch
