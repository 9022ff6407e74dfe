"""How far the features of an image move when a small defect is drawn on it, against a weak change of the whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch.nn import functional as F
from torchvision.transforms.v2.functional import normalize

from extensions.data.reading.image_files import read_image
from extensions.data.synthetic.defects import draw_defect
from extensions.self_supervised.images.smooth_blend import weak_change

if TYPE_CHECKING:
    from extensions.self_supervised.probe.probe_encoders import Encoder

ATTEMPTS = 30  # to draw a defect that is small enough
BATCH_SIZE = 32


@dataclass(frozen=True)
class Changed:
    """Images and what was done to them, all of one size.

    Attributes:
        images: (N, 3, H, W) float32, 0 to 1.
        defective: (N, 3, H, W), each with one small defect.
        weak: (N, 3, H, W), each changed a little as a whole.
        masks: (N, 1, H, W) bool, of the defects.
    """

    images: torch.Tensor
    defective: torch.Tensor
    weak: torch.Tensor
    masks: torch.Tensor


@dataclass(frozen=True)
class Movement:
    """Cosine distances (N,), 0 to 2, between the features of each image and of the same image changed.

    Attributes:
        local_defect: Mean over the positions that a defect touches.
        local_weak: Mean over all positions, of the weak change.
        pooled_defect: Of the average over all positions.
        pooled_weak: Likewise, of the weak change.
    """

    local_defect: np.ndarray
    local_weak: np.ndarray
    pooled_defect: np.ndarray
    pooled_weak: np.ndarray


def change_images(paths: Sequence[Path], *, image_size: int, n: int, largest: float, seed: int) -> Changed:
    """Draw a defect (`extensions.data.synthetic`, any kind) and a weak change (`weak_change`) on some good images.

    Args:
        paths: Of images, without defects.
        image_size: Height and width in px.
        n: Images to take, drawn; all where there are fewer.
        largest: Share of an image that a defect may cover.
        seed: Of all draws.

    Raises:
        ValueError: No image is left on which a defect of that size can be drawn, or one cannot be read.
    """
    rng = np.random.default_rng(seed)
    chosen = sorted(rng.permutation(len(paths))[:n].tolist())
    size = (image_size, image_size)
    pixels = [cv2.resize(read_image(paths[index]), size, interpolation=cv2.INTER_AREA) for index in chosen]
    found = []
    for place, image in enumerate(pixels):
        drawn = _small_defect(image, pixels[place - 1], rng, largest=largest)
        if drawn is not None:
            defective, mask = drawn
            one = _tensor(image)
            found.append((one, _tensor(defective), weak_change(one, rng), torch.from_numpy(mask)[None]))
    if not found:
        msg = f"no defect of at most {largest:g} of the image could be drawn on any of {len(pixels)} images"
        raise ValueError(msg)
    return Changed(*(torch.stack(part) for part in zip(*found, strict=True)))


def _small_defect(
    image: np.ndarray, source: np.ndarray, rng: np.random.Generator, *, largest: float
) -> tuple[np.ndarray, np.ndarray] | None:
    for _ in range(ATTEMPTS):
        try:
            drawn = draw_defect(image, source, rng)
        except RuntimeError:  # an image of one color
            return None
        if drawn.mask.mean() <= largest:
            return drawn.image, drawn.mask
    return None


def _tensor(image: np.ndarray) -> torch.Tensor:
    """(H, W, 3) uint8 -> (3, H, W) float32, 0 to 1."""
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 255


def movements(encoder: Encoder, changed: Changed, *, seed: int) -> dict[str, Movement]:
    """How far the features of each of an encoder's layers move.

    Args:
        encoder: From `find_encoder`; not `pixels`.
        changed: From `change_images`.
        seed: Of random weights.

    Raises:
        WeightsError: The weights do not fit the backbone.
    """
    from extensions.backbones import normalization
    from extensions.self_supervised.probe.probe_encoders import build_extractor, calibrate_batch_norm

    extractor = build_extractor(encoder, encoder.layers, seed=seed)
    mean, std = map(list, normalization(encoder.backbone))
    if not encoder.pre_trained:
        shown: Iterator[torch.Tensor] = (normalize(batch, mean, std) for batch in changed.images.split(BATCH_SIZE))
        calibrate_batch_norm(extractor.feature_extractor, shown)
    parts: dict[str, list[Movement]] = {layer: [] for layer in encoder.layers}
    for start in range(0, len(changed.images), BATCH_SIZE):
        batch = slice(start, start + BATCH_SIZE)
        with torch.no_grad():
            image, defective, weak = (
                extractor.compute(normalize(images[batch], mean, std))
                for images in (changed.images, changed.defective, changed.weak)
            )
        for layer in encoder.layers:
            moved = movement(image[layer], defective[layer], weak[layer], changed.masks[batch])
            parts[layer].append(moved)
    return {layer: _joined(found) for layer, found in parts.items()}


def movement(image: torch.Tensor, defective: torch.Tensor, weak: torch.Tensor, masks: torch.Tensor) -> Movement:
    """Cosine distances between features.

    Args:
        image: (N, C, h, w), of the good images.
        defective: (N, C, h, w).
        weak: (N, C, h, w).
        masks: (N, 1, H, W) bool; a position counts as touched where any of its pixels is.
    """
    image, defective, weak = image.double(), defective.double(), weak.double()  # distances are as small as 1e-5
    touched = F.adaptive_max_pool2d(masks.double(), image.shape[-2:])[:, 0]  # (N, h, w)
    by_position = [1 - F.cosine_similarity(image, other) for other in (defective, weak)]  # (N, h, w) each
    pooled = [1 - F.cosine_similarity(image.mean(dim=(2, 3)), other.mean(dim=(2, 3))) for other in (defective, weak)]
    at_defect = (by_position[0] * touched).sum(dim=(1, 2)) / touched.sum(dim=(1, 2))
    values = at_defect, by_position[1].mean(dim=(1, 2)), *pooled
    return Movement(*(value.numpy() for value in values))


def _joined(parts: Sequence[Movement]) -> Movement:
    names = Movement.__dataclass_fields__
    return Movement(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def ratio(defect: np.ndarray, weak: np.ndarray, *, seed: int) -> tuple[float, float, float]:
    """Ratio of two mean distances, above 1 where defects move features farther, and its 95 % interval over images.

    Args:
        defect: (N,).
        weak: (N,), of the same images.
        seed: Of the bootstrap (percentiles of 2,000 draws of whole images).

    Returns:
        Ratio, lower and upper end; the ends are NaN for a single image.
    """
    from scipy.stats import bootstrap

    value = float(defect.mean() / weak.mean())
    if len(defect) < 2:
        return value, float("nan"), float("nan")
    drawn = bootstrap(
        (defect, weak),
        lambda d, w, axis: d.mean(axis) / w.mean(axis),
        paired=True,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return value, float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)
