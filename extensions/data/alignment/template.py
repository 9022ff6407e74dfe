"""The template that images of a data set are aligned to, made of some of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from extensions.data.alignment.registration import Lie, Registered, lie_of, moved_back, of_gray
from extensions.data.synthetic.foreground import foreground

N_IMAGES = 24  # that a template is made of, at most
N_REFERENCES, N_COMPARED = 4, 6  # images that may be the first template, and those that each is compared with
ROUNDS = 3
FAR = 3.0  # times the range of the middle half: Tukey's far outliers
LEAST_MARGIN = 0.1  # of correlation


def make_template(images: Sequence[Registered]) -> tuple[np.ndarray, list[float]]:
    """The mean of aligned images, (h, w) uint8, and how well each correlates with it; 0 where none was found.

    The first template is that of a few images on which the others lie best. Their mean takes its place, three times. No
    number is drawn: the order of the images decides.

    Args:
        images: All of one size, two or more.
    """
    template = _centered(_reference(images), images)
    lies: list[Lie | None] = []
    mean = template.gray
    for _ in range(ROUNDS + 1):
        lies = [lie_of(image, template) for image in images]
        known = [(image, lie) for image, lie in zip(images, lies, strict=True) if lie is not None]
        if not known:
            break
        middle = float(np.median([lie.correlation for _, lie in known]))
        best = [(image, lie) for image, lie in known if lie.correlation >= middle]
        mean = np.mean([moved_back(image.gray, lie.matrix) for image, lie in best], axis=0)
        levels = np.rint(mean * 255).clip(0, 255).astype(np.uint8)
        template = of_levels(levels)
    levels = np.rint(mean * 255).clip(0, 255).astype(np.uint8)
    return levels, [0.0 if lie is None else lie.correlation for lie in lies]


def of_levels(levels: np.ndarray) -> Registered:
    """A template (h, w) uint8, ready to be registered on."""
    gray = levels.astype(np.float32) / 255
    return of_gray(gray, foreground(np.repeat(levels[..., None], 3, axis=2)))


def least_correlation(correlations: Sequence[float]) -> float:
    """Below which an image counts as not aligned: far below those of good images, of which none is at its own place."""
    low, high = np.quantile(correlations, [0.25, 0.75])
    return float(max(0.0, low - max(FAR * (high - low), LEAST_MARGIN)))


def _centered(reference: Registered, images: Sequence[Registered]) -> Registered:
    """The reference with its product where those of all images lie in the middle, so that none is moved far."""
    middle = np.median([image.center for image in images], axis=0)
    shift = np.column_stack([np.eye(2), np.array(reference.center) - middle])
    gray = moved_back(reference.gray, shift)
    return of_levels(np.rint(gray * 255).clip(0, 255).astype(np.uint8))


def _reference(images: Sequence[Registered]) -> Registered:
    candidates, compared = images[:N_REFERENCES], images[-N_COMPARED:]

    def agreement(candidate: Registered) -> float:
        lies = [lie_of(image, candidate) for image in compared if image is not candidate]
        return sum(lie.correlation for lie in lies if lie is not None)

    return max(candidates, key=agreement)
