"""Draws defects on good images: ``(image, source, rng) -> (image, mask)``.

In all of them ``image`` and ``source`` are (H, W, 3) uint8, ``source`` being another image of the product that gives
patches; ``mask`` is (H, W) bool and true for exactly those pixels that differ from ``image``. What was changed too
little to be noticed is changed back.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from extensions.data.regions.product import foreground
from extensions.data.synthetic import shapes

# Part of every cache key: raise it when any drawing changes.
GENERATOR_VERSION = 1

# Levels of 255: a pixel counts as touched, its surroundings as seen, and one place in them makes the whole noticeable.
_TOUCHED = 2
_SEEN = 4
_NOTICEABLE = 9
_MIN_AREA = 20  # px
_ATTEMPTS = 30

Drawn = tuple[np.ndarray, np.ndarray]
Generator = Callable[[np.ndarray, np.ndarray, np.random.Generator], Drawn]


@dataclass(frozen=True)
class Defect:
    """An image with a defect, the mask of what changed, and the kind of defect."""

    image: np.ndarray
    mask: np.ndarray
    kind: str


def nsa(image: np.ndarray, source: np.ndarray, rng: np.random.Generator) -> Drawn:
    """Natural synthetic anomalies: patches of another image, blended in without seams.

    Schlüter, Tan, Hou, Kainz (2022): Natural Synthetic Anomalies for Self-Supervised Anomaly Detection and
    Localization, https://arxiv.org/abs/2109.15222. Patch sizes are gamma distributed; patches are rescaled, flipped and
    pasted by Poisson blending (Pérez et al. 2003).
    Differs from the paper: patches are also ellipses and irregular blobs, and may be weakened; the mask is what
    changed, not closed afterwards; the place is drawn from the product's pixels instead of tested for overlap.
    """
    product = foreground(image)
    changed = image
    for _ in range(rng.integers(1, 4)):
        size = np.clip(rng.gamma(2.0, 0.09, size=2), 0.04, 0.5) * image.shape[1::-1]  # (width, height) px
        cover = _area(image.shape[:2], _somewhere(product, rng), (float(size[0]), float(size[1])), rng)
        patch = _moved_patch(source, cover, rng, scale=float(np.clip(rng.normal(1, 0.25), 0.7, 1.4)))
        changed = _poisson(changed, patch, cover)
    return _finish(image, _weakened(image, changed, rng, low=0.5), product)


def cutpaste(image: np.ndarray, source: np.ndarray, rng: np.random.Generator) -> Drawn:
    """A patch of the same or another image, pasted elsewhere with other brightness and contrast.

    Li, Sohn, Yoon, Pfister (2021): CutPaste: Self-Supervised Learning for Anomaly Detection and Localization,
    https://arxiv.org/abs/2104.04015.
    Differs from the paper: smaller patches (0.1 to 6 % of the image), other outlines than rectangles, soft rims.
    """
    size, product = image.shape[:2], foreground(image)
    area, aspect = np.exp(rng.uniform(np.log(0.001), np.log(0.06))) * image[..., 0].size, np.exp(rng.uniform(-1.2, 1.2))
    extent = (float(np.sqrt(area * aspect)), float(np.sqrt(area / aspect)))
    cover = _area(size, _somewhere(product, rng), extent, rng)
    donor = image if rng.random() < 0.5 else source
    return _paste(image, _moved_patch(donor, cover, rng), cover, product, rng)


def scar(image: np.ndarray, source: np.ndarray, rng: np.random.Generator) -> Drawn:
    """CutPaste's scar: a long thin rotated patch; source and differences as for `cutpaste`."""
    size, product = image.shape[:2], foreground(image)
    unit = min(size) / 256
    extent = (rng.uniform(10, 60) * unit, rng.uniform(1.5, 8) * unit)
    cover = shapes.rectangle(size, _somewhere(product, rng), extent, rng.uniform(0, 180))
    donor = image if rng.random() < 0.5 else source
    return _paste(image, _moved_patch(donor, cover, rng), cover, product, rng)


def crack(image: np.ndarray, source: np.ndarray, rng: np.random.Generator) -> Drawn:
    """A thin wandering line, darker or lighter than what it crosses; needs no source."""
    size, product = image.shape[:2], foreground(image)
    unit = min(size) / 256
    length = np.exp(rng.uniform(np.log(20), np.log(240))) * unit
    cover = shapes.crack(size, _somewhere(product, rng), length, rng.uniform(0.5, 2.2) * unit, rng)
    cover *= np.clip(1 + 0.4 * _cloud(size, 8 * unit, rng), 0.3, 1.5)
    return _finish(image, _shaded(image, cover * rng.uniform(0.15, 0.6), rng), product)


def stain(image: np.ndarray, source: np.ndarray, rng: np.random.Generator) -> Drawn:
    """A soft-edged, uneven patch, darker or lighter than what it covers; needs no source."""
    size, product = image.shape[:2], foreground(image)
    radius = np.exp(rng.uniform(np.log(0.03), np.log(0.4))) * min(size)
    extent = (float(radius), float(radius * np.exp(rng.uniform(-0.7, 0.7))))
    cover = shapes.blob(size, _somewhere(product, rng), extent, rng.uniform(0, 180), rng)
    cover = cv2.GaussianBlur(cover, (0, 0), max(0.8, radius * rng.uniform(0.03, 0.25)))
    cover *= 1 + 0.35 * _cloud(size, max(2.0, radius / 6), rng)
    return _finish(image, _shaded(image, np.clip(cover, 0, 1) * rng.uniform(0.06, 0.5), rng), product)


GENERATORS: dict[str, Generator] = {"crack": crack, "cutpaste": cutpaste, "nsa": nsa, "scar": scar, "stain": stain}


def draw_defect(
    image: np.ndarray, source: np.ndarray, rng: np.random.Generator, *, kinds: Sequence[str] = tuple(GENERATORS)
) -> Defect:
    """Draw one defect of a random kind; tried again until something noticeable changed.

    Raises:
        ValueError: images of different sizes or types, or a kind that is not in `GENERATORS`.
        RuntimeError: nothing could be drawn in 30 attempts.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        msg = f"an image is {image.dtype} of shape {image.shape}; expected uint8 of shape (H, W, 3)"
        raise ValueError(msg)
    unknown = sorted(set(kinds) - set(GENERATORS))
    if unknown:
        msg = f"unknown kind of defect {unknown[0]!r}; expected one of {', '.join(GENERATORS)}"
        raise ValueError(msg)
    if source.shape != image.shape:
        source = cv2.resize(source, image.shape[1::-1], interpolation=cv2.INTER_AREA)
    for _ in range(_ATTEMPTS):
        kind = str(rng.choice(list(kinds)))
        changed, mask = GENERATORS[kind](image, source, rng)
        if mask.any():
            return Defect(changed, mask, kind)
    msg = f"no noticeable defect could be drawn in {_ATTEMPTS} attempts; the image is too small or too even"
    raise RuntimeError(msg)


def _somewhere(product: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """A random pixel (x, y) of the product."""
    place = rng.choice(np.flatnonzero(product))
    return float(place % product.shape[1]), float(place // product.shape[1])


def _area(
    size: tuple[int, int], center: tuple[float, float], extent: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """A rectangle, an ellipse or, mostly, a blob."""
    angle, draw = rng.uniform(0, 180), rng.random()
    if draw < 0.2:
        return shapes.rectangle(size, center, extent, angle)
    return shapes.ellipse(size, center, extent, angle) if draw < 0.4 else shapes.blob(size, center, extent, angle, rng)


def _moved_patch(donor: np.ndarray, cover: np.ndarray, rng: np.random.Generator, *, scale: float = 1.0) -> np.ndarray:
    """The donor flipped, rescaled and shifted, so that another part of its product lies under ``cover``."""
    if rng.random() < 0.5:
        donor = donor[:, ::-1]
    if rng.random() < 0.5:
        donor = donor[::-1]
    donor = np.ascontiguousarray(donor)
    rows, columns = np.nonzero(cover)
    to = np.array([columns.mean(), rows.mean()]) if len(rows) else np.array(cover.shape[::-1]) / 2
    origin = np.array(_somewhere(foreground(donor), rng))
    matrix = np.array([[scale, 0, to[0] - scale * origin[0]], [0, scale, to[1] - scale * origin[1]]])
    return cv2.warpAffine(donor, matrix, cover.shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _poisson(image: np.ndarray, patch: np.ndarray, cover: np.ndarray) -> np.ndarray:
    inside = (cover > 0).astype(np.uint8) * 255
    inside[:2], inside[-2:], inside[:, :2], inside[:, -2:] = 0, 0, 0, 0  # the blend needs a rim of known pixels
    if not inside.any():
        return image
    x, y, width, height = cv2.boundingRect(inside)
    if min(width, height) < 3:  # nothing inside the rim to blend: OpenCV fails on such slivers
        return image
    return cv2.seamlessClone(patch, image, inside, (x + width // 2, y + height // 2), cv2.NORMAL_CLONE)


def _paste(
    image: np.ndarray, patch: np.ndarray, cover: np.ndarray, product: np.ndarray, rng: np.random.Generator
) -> Drawn:
    jittered = (patch.astype(np.float32) - patch.mean()) * rng.uniform(0.7, 1.3) + patch.mean() * rng.uniform(0.8, 1.2)
    softness = rng.uniform(0, 1.5)
    alpha = cv2.GaussianBlur(cover, (0, 0), softness) if softness > 0.3 else cover
    changed = image + alpha[..., None] * (np.clip(jittered, 0, 255) - image)
    return _finish(image, _weakened(image, changed, rng, low=0.35), product)


def _shaded(image: np.ndarray, strength: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Drawn towards black or, where that leaves no room or by chance, towards white."""
    target = 255.0 if image.mean() < 40 or rng.random() < 0.25 else 0.0
    return image + strength[..., None] * (target - image.astype(np.float32))


def _weakened(image: np.ndarray, changed: np.ndarray, rng: np.random.Generator, *, low: float) -> np.ndarray:
    return image + rng.uniform(low, 1.0) * (changed.astype(np.float32) - image)


def _cloud(size: tuple[int, int], scale: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise (H, W) of zero mean and unit deviation."""
    noise = cv2.GaussianBlur(rng.normal(size=size).astype(np.float32), (0, 0), scale)
    return (noise - noise.mean()) / max(float(noise.std()), 1e-6)


def _finish(image: np.ndarray, changed: np.ndarray, product: np.ndarray) -> Drawn:
    """Keep the noticeable change on the product; the mask is exactly the pixels that differ."""
    drawn = np.clip(np.rint(changed), 0, 255).astype(np.uint8)
    difference = cv2.absdiff(drawn, image).max(axis=2)
    # The eye sees areas, not single pixels: smoothed, but no wider than what was touched.
    touched = cv2.morphologyEx((difference >= _TOUCHED).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    seen = cv2.GaussianBlur(difference.astype(np.float32), (0, 0), 1.2) * touched * product
    _, parts, statistics, _ = cv2.connectedComponentsWithStats((seen >= _SEEN).astype(np.uint8))
    keep = statistics[:, cv2.CC_STAT_AREA] >= _MIN_AREA
    keep &= np.isin(np.arange(len(keep)), parts[seen >= _NOTICEABLE])
    keep[0] = False  # what was not changed
    mask = keep[parts]
    same = mask & (difference == 0)
    drawn[same] = np.where(image[same] < 255, image[same] + 1, 254)
    return np.where(mask[..., None], drawn, image), mask
