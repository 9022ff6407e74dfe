"""The template that images of a data set are aligned to, made of some of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from extensions.data.alignment.registration import Registered, lies_of, moved_back, of_gray
from extensions.data.regions.product import foreground

N_IMAGES = 24  # that a template is made of, at most
N_REFERENCES, N_COMPARED = 4, 6  # images that may be the first template, and those that each is compared with
ROUNDS = 4
FAR = 3.0  # times the range of the middle half: Tukey's far outliers
LEAST_MARGIN = 0.1  # of correlation


def make_template(images: Sequence[Registered]) -> tuple[np.ndarray, list[float]]:
    """The mean of aligned images, (h, w) uint8, and how well each correlates with that of the others.

    The first template is that of a few images on which the others lie best. Their mean takes its place, four times.
    No number is drawn: the order of the images decides.

    Args:
        images: All of one size, one or more.

    Returns:
        The template, and of each image its correlation with the template less the image itself, -1 to 1; 0 where it
        was not found on it.
    """
    template = _centered(_reference(images), images)
    moved: list[np.ndarray | None] = []
    members: list[bool] = []
    total = template.gray
    for _ in range(ROUNDS):
        lies = lies_of(images, template)
        known = [lie.correlation for lie in lies if lie is not None]
        if not known:
            break
        middle = float(np.median(known))
        members = [lie is not None and lie.correlation >= middle for lie in lies]
        moved = [
            None if lie is None else moved_back(image.gray, lie.matrix) for image, lie in zip(images, lies, strict=True)
        ]
        kept = [one for one, is_member in zip(moved, members, strict=True) if one is not None and is_member]
        total = np.sum(kept, axis=0)
        template = of_levels(_levels(total / sum(members)))
    levels = _levels(template.gray)
    if not any(members):
        return levels, [0.0] * len(images)
    n_members = sum(members)
    correlations = []
    for one, is_member in zip(moved, members, strict=True):
        others = total - one if one is not None and is_member and n_members > 1 else total
        correlations.append(0.0 if one is None else _correlation(one, others))
    return levels, correlations


def _levels(gray: np.ndarray) -> np.ndarray:
    return np.rint(gray * 255).clip(0, 255).astype(np.uint8)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """0 where one of them is of one color."""
    a, b = one - one.mean(), other - other.mean()
    product = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float((a * b).sum()) / product if product else 0.0


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
    return of_levels(_levels(gray))


def _reference(images: Sequence[Registered]) -> Registered:
    candidates, compared = images[:N_REFERENCES], images[-N_COMPARED:]

    def agreement(candidate: Registered) -> float:
        lies = lies_of([image for image in compared if image is not candidate], candidate)
        return sum(lie.correlation for lie in lies if lie is not None)

    return max(candidates, key=agreement)
