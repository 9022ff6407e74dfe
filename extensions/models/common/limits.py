"""What a model cannot take: images too small for its blur, training sets too small for its statistics."""

from typing import Any

import torch
from anomalib.models.components.classification import KDEClassifier
from anomalib.models.components.filters import GaussianBlur2d
from torch import nn
from torchvision.transforms.v2 import CenterCrop, Compose, Resize, Transform


def smallest_image(network: nn.Module) -> int:
    """Shortest side in px of the images whose anomaly maps a network can blur: it reflects them at their borders."""
    blurs = [module for module in network.modules() if isinstance(module, GaussianBlur2d)]
    return max((max(blur.kernel.shape[-2:]) // 2 + 1 for blur in blurs if blur.padding == "same"), default=1)


def check_image_size(model: Any) -> None:
    """Refuse a pre-processor that makes images too small for its model.

    Raises:
        ValueError: It names the size, the least one, and what to do.
    """
    network = getattr(model, "model", None)
    if network is None:
        return
    size, least = seen_size(getattr(model.pre_processor, "transform", None)), smallest_image(network)
    if size is not None and min(size) < least:
        msg = (
            f"{type(model).__name__} would see images of {size[0]} x {size[1]} px (image_size, center_crop), and "
            f"blurs its anomaly maps over {2 * least - 1} px: expected {least} px or more for each side"
        )
        raise ValueError(msg)


def check_has_network(model: Any) -> None:
    """Refuse a model that leaves judging to another program, such as anomalib's VlmAd: there is nothing to rank by.

    Raises:
        ValueError: It names the model, and what to do.
    """
    if not isinstance(getattr(model, "model", None), nn.Module):
        msg = (
            f"{type(model).__name__} has no network of its own: it asks another program for a verdict in words and "
            "gives no score that images could be ranked by; choose a detector with scores"
        )
        raise ValueError(msg)


def check_n_train(model: Any, n_train: int) -> None:
    """Refuse a training set from which a model would fit nothing, without a word.

    Raises:
        ValueError: It names the number of images, the least one, and what to do.
    """
    for module in model.modules():
        if isinstance(module, KDEClassifier) and n_train < module.n_pca_components:
            msg = (
                f"{type(model).__name__} takes {module.n_pca_components} principal components (n_pca_components) of "
                f"its training images, and found {n_train} images; give as many images or more, or lower it"
            )
            raise ValueError(msg)


def check_fitted(name: str, learned: torch.Tensor, *, training: bool) -> None:
    """Refuse to score with a memory bank that nothing is in.

    Raises:
        RuntimeError: It names the model, and what to do.
    """
    if not training and not learned.numel():
        msg = f"this {name} has not been fitted: fit the model first, or load a checkpoint of a finished fit."
        raise RuntimeError(msg)


def seen_size(transform: Transform | None) -> tuple[int, int] | None:
    """Height and width in px that the last resize or crop of a transform makes; None where that is not fixed."""
    size: tuple[int, int] | None = None
    for module in transform.transforms if isinstance(transform, Compose) else [transform]:
        if isinstance(module, Resize | CenterCrop):
            sides = [module.size] if isinstance(module.size, int) else list(module.size)
            is_fixed = len(sides) == 2 or isinstance(module, CenterCrop)
            size = (sides[0], sides[-1]) if is_fixed else None
    return size
