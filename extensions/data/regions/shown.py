"""A region of interest on an image as it is looked at."""

import cv2
import numpy as np

from extensions.data.regions.region import Region

SIDE = 256  # px, of the square that the foreground is looked for in, as detectors see it by default
MEAN = np.array((0.485, 0.456, 0.406), np.float32)  # of ImageNet, by which most backbones normalize
STD = np.array((0.229, 0.224, 0.225), np.float32)


def inside_of_image(region: Region, image: np.ndarray) -> np.ndarray:
    """What a detector looks at, (H, W) bool, of an image (H, W, 3) uint8.

    Of the foreground it is what a detector finds that sees images at 256 px.
    """
    inside = np.ones(image.shape[:2], bool) if region.mask is None else region.mask
    if not region.foreground:
        return inside
    import torch

    from extensions.data.regions.foreground import find_foreground

    small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    prepared = torch.from_numpy((small - MEAN) / STD).permute(2, 0, 1)[None]
    found = find_foreground(prepared, border=region.border)[0, 0].numpy()
    return inside & (cv2.resize(found, image.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0)
