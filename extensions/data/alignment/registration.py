"""How an image lies on a template: a turn and a shift, found by correlation.

Sources: the turn as a shift of polar images, found by correlation in the frequency domain (De Castro & Morandi,
"Registration of Translated and Rotated Images Using Finite Fourier Transforms", 1987,
https://doi.org/10.1109/TPAMI.1987.4767966); refined by ECC (Evangelidis & Psarakis, "Parametric Image Alignment Using
Enhanced Correlation Coefficient Maximization", 2008, https://doi.org/10.1109/TPAMI.2008.113), which is OpenCV's
`findTransformECC`. Differs from the former: the turn is looked for around the centers of the foregrounds and not in the
spectra, which would leave it open by 180 degrees.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from extensions.data.regions.product import foreground

SIDE = 256  # px, of the longer side of what is registered
ANGLES = 360  # of a polar image: one a degree
RADII = 96
N_STARTS = 4  # turns that are tried, beside that of 0
STEPS, FEW_STEPS = 60, 25  # of ECC at most
NEAR = 1e-5  # change of the correlation at which ECC ends
BLUR = 5  # px, side of ECC's own filter
MOST_SHIFT = 0.35  # of the side; what lies further away is no alignment
ALIKE = 2.0  # px between the corners of two starts from which ECC ends at one place


@dataclass(frozen=True, eq=False)
class Lie:
    """How an image lies.

    Attributes:
        matrix: (2, 3) float64, from a place (x, y) on the template to that on the image, both in px at the size that
            was registered; a turn and a shift.
        correlation: Of the aligned image with the template where both have pixels, -1 to 1, higher is better.
    """

    matrix: np.ndarray
    correlation: float

    @property
    def turn(self) -> float:
        """Degrees, -180 to 180."""
        return float(np.degrees(np.arctan2(self.matrix[1, 0], self.matrix[0, 0])))

    def shift(self, size: tuple[int, int]) -> float:
        """How far the center of an image of this height and width lies from that of the template, of its side."""
        center = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
        moved = self.matrix[:, :2] @ center + self.matrix[:, 2]
        return float(np.linalg.norm(moved - center) / max(size))


@dataclass(frozen=True, eq=False)
class Registered:
    """An image prepared to be registered.

    Attributes:
        gray: (h, w) float32 in [0, 1], smoothed.
        center: (x, y) of its foreground, px.
        polar: (ANGLES, RADII) float32 around it, less the mean of each radius.
    """

    gray: np.ndarray
    center: tuple[float, float]
    polar: np.ndarray


def working_size(size: tuple[int, int], side: int = SIDE) -> tuple[int, int]:
    """Height and width at which images of this height and width are registered, the longer of them `side` px."""
    scale = side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def prepared(levels: np.ndarray, size: tuple[int, int]) -> Registered:
    """An image for `lie_of`.

    Args:
        levels: (H, W) uint8.
        size: Height and width at which it is registered.
    """
    small = levels
    if levels.shape != size:
        shrinks = size[0] * size[1] < levels.size
        small = cv2.resize(levels, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    gray = cv2.GaussianBlur(small.astype(np.float32) / 255, (0, 0), 1.0)
    return of_gray(gray, foreground(np.repeat(small[..., None], 3, axis=2)))


def of_gray(gray: np.ndarray, inside: np.ndarray) -> Registered:
    """Of gray levels (h, w) and where the product is, (h, w) bool."""
    rows, columns = np.nonzero(inside)
    center = float(columns.mean()), float(rows.mean())
    return Registered(gray, center, _polar(gray, center))


def _polar(gray: np.ndarray, center: tuple[float, float]) -> np.ndarray:
    """(ANGLES, RADII): what differs around a center, each radius by its length; what does not cannot tell a turn."""
    radii = (np.arange(RADII, dtype=np.float32) + 0.5) * np.float32(min(gray.shape) / 2 / RADII)
    angles = np.radians(np.arange(ANGLES, dtype=np.float32) * np.float32(360 / ANGLES))[:, None]
    x, y = (np.float32(middle) + radii * along(angles) for middle, along in zip(center, (np.cos, np.sin), strict=True))
    polar = cv2.remap(gray, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return (polar - polar.mean(axis=0)) * np.sqrt(np.arange(RADII, dtype=np.float32) + 0.5)


def lie_of(image: Registered, template: Registered) -> Lie | None:
    """How an image lies on a template of its size; None where nothing was found.

    Deterministic. Parts that look alike when turned (by 180 degrees, say) may be found at any of these turns.
    """
    with one_thread():
        tried = (_refined(image, template, start, scale=2, steps=FEW_STEPS) for start in _starts(image, template))
        found = [lie for lie in tried if lie is not None]
        if not found:
            return None
        best = max(found, key=lambda lie: agreement(image, template, lie.matrix))
        return _refined(image, template, best.matrix, scale=1, steps=STEPS) or best


def lies_of(images: Sequence[Registered], template: Registered) -> list[Lie | None]:
    """How each of several images lies on a template, as `lie_of` tells; by as many threads as there are cores."""
    with one_thread(), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(lambda image: lie_of(image, template), images))


_inside = threading.Lock()
_within: list[int] = []  # OpenCV's threads before, once for each that is inside


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV by one thread: its small steps gain nothing from more, and wait for them where others use the cores.

    Its number holds for the whole process, so the last that leaves sets what the first has found.
    """
    with _inside:
        _within.append(_within[0] if _within else cv2.getNumThreads())
        cv2.setNumThreads(1)
    try:
        yield
    finally:
        with _inside:
            before = _within.pop()
            if not _within:
                cv2.setNumThreads(before)


def _starts(image: Registered, template: Registered) -> list[np.ndarray]:
    """No turn and no shift, and the turns at which the polar images agree best, around the centers."""
    spectrum = np.fft.rfft(image.polar, axis=0) * np.conj(np.fft.rfft(template.polar, axis=0))
    found = np.fft.irfft(spectrum.sum(axis=1), n=ANGLES)
    is_peak = (found >= np.roll(found, 1)) & (found > np.roll(found, -1))
    peaks = np.flatnonzero(is_peak)
    peaks = peaks[np.argsort(-found[peaks], kind="stable")][:N_STARTS]
    turns = [0.0, *(360.0 / ANGLES * peaks)]
    starts: list[np.ndarray] = []
    height, width = image.gray.shape
    corners = np.array([[0, 0, 1], [width - 1, 0, 1], [0, height - 1, 1], [width - 1, height - 1, 1]]).T
    for start in (np.eye(2, 3), *(_turned(turn, template.center, image.center) for turn in turns)):
        if all(np.linalg.norm((start - known) @ corners, axis=0).max() > ALIKE for known in starts):
            starts.append(start)
    return starts


def agreement(image: Registered, template: Registered, matrix: np.ndarray) -> float:
    """Of an image with the template once it is moved back, in what differs around the template's center, -1 to 1."""
    polar = _polar(moved_back(image.gray, matrix), template.center)
    product = float(np.linalg.norm(polar) * np.linalg.norm(template.polar))
    return float((polar * template.polar).sum()) / product if product else 0.0


def moved_back(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """An image (h, w) as it lies on the template."""
    return cv2.warpAffine(
        image,
        matrix,
        image.shape[1::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _turned(degrees: float, of: tuple[float, float], to: tuple[float, float]) -> np.ndarray:
    """The matrix that turns around a center, which it brings to another place."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[cos, -sin], [sin, cos]])
    return np.column_stack([turn, np.array(to) - turn @ np.array(of)])


def _refined(image: Registered, template: Registered, start: np.ndarray, *, scale: int, steps: int) -> Lie | None:
    """ECC from a start, at a fraction of the size; None where it does not converge or leaves the image.

    The image is moved by the start first: OpenCV's ECC takes the turn from its sine, so it loses one of more than 90
    degrees.
    """
    height, width = (side // scale for side in image.gray.shape)
    known, seen = (
        one if scale == 1 else cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA)
        for one in (template.gray, image.gray)
    )
    before = scaled(start, 1 / scale, 1 / scale)
    inside = cv2.warpAffine(
        np.full(seen.shape, 255, np.uint8), before, (width, height), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    )
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, steps, NEAR)
    try:
        correlation, rest = cv2.findTransformECC(
            known,
            moved_back(seen, before),
            np.eye(2, 3, dtype=np.float32),
            cv2.MOTION_EUCLIDEAN,
            criteria,
            inside,
            BLUR,
        )
    except cv2.error:  # images do not overlap, or the iteration left them
        return None
    matrix = before[:, :2] @ rest + np.column_stack([np.zeros((2, 2)), before[:, 2]])
    lie = Lie(scaled(matrix, scale, scale), float(correlation))
    is_sound = np.isfinite(lie.matrix).all() and np.isfinite(correlation) and lie.shift(image.gray.shape) <= MOST_SHIFT
    return lie if is_sound else None


def scaled(matrix: np.ndarray, x: float, y: float) -> np.ndarray:
    """A matrix between images that are both enlarged by these factors; the center of a pixel is at whole numbers."""
    factors = np.array([x, y])
    linear = matrix[:, :2] * factors[:, None] / factors
    shift = factors * (matrix[:, 2] + 0.5 - matrix[:, :2].sum(axis=1) / 2)
    return np.column_stack([linear, shift - 0.5 + linear.sum(axis=1) / 2])
