"""A small grey image of an image, by which copies of it are found."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

SIDE = 16  # px; larger ones tell images apart better, but not from what JPEG makes of them
_FINE = 4 * SIDE  # px; Pillow rounds to 8 bits, which the mean over 4 x 4 px evens out
WEAKEST = 0.5  # grey levels; what varies less than this shows no more than noise
TYPICAL_NEIGHBOR = 4  # an image may have so many copies, less one, before they count as usual
NEAR = 0.1  # of the typical distance
SIBLINGS, SIBLING = 10, 0.5
"""Parts have fewer images than the first; images of one part are nearer than this share of the typical distance. On
Magnetic Tile Defects that finds 168 of 216 test images of which the names tell a training image of the same tile, and
two others."""
_ROWS = 1024
_SAMPLE = 1000  # images of which the typical distance is taken


def describe_image(image: Image.Image) -> np.ndarray:
    """(16, 16) uint16: 16 times the mean grey level of each part of an image."""
    grey = image.convert("L").resize((_FINE, _FINE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    blocks = np.asarray(grey).reshape(SIDE, 4, SIDE, 4)
    return blocks.sum(axis=(1, 3), dtype=np.uint16)  # (16, 16)


def standardized(descriptors: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Descriptors without brightness and contrast.

    Returns:
        (N, 256) float32 of mean 0 and unit length, and (N,) bool: whether an image shows enough to be compared.
    """
    rows = np.stack([descriptor.ravel() for descriptor in descriptors]).astype(np.float32) / 16
    rows -= rows.mean(axis=1, keepdims=True)
    spread = rows.std(axis=1, keepdims=True)
    return rows / np.maximum(spread, WEAKEST) / SIDE, spread[:, 0] >= WEAKEST


def near_pairs(
    descriptors: Sequence[np.ndarray],
    groups: Sequence[int],
    *,
    neighbor: int = TYPICAL_NEIGHBOR,
    share: float = NEAR,
) -> list[tuple[int, int]]:
    """Find images of different groups that are far nearer to each other than is usual in this data set.

    Two images are near when their distance is below a share of the typical one, which is the median over all images of
    the distance to the fourth (or other) nearest image. Images of one product that all look alike are not near in this
    sense, and neither brightness, contrast, size nor usual compression make a copy of an image differ so much.

    Args:
        descriptors: by `describe_image`.
        groups: of each image.
        neighbor: which nearest image is a typical one.
        share: of the typical distance.

    Returns:
        For each image of a higher group that is near one of a lower group, the two as (lower, higher), the nearest one.
    """
    if len(descriptors) <= neighbor or len(set(groups)) < 2:
        return []
    rows, is_clear = standardized(descriptors)
    index = np.flatnonzero(is_clear)
    rows, group_of = rows[index], np.asarray(groups)[index]
    if len(index) <= neighbor:
        return []
    rows -= rows.mean(axis=0)  # what all images share would drown small differences in rounding
    limit = share * _typical(rows, neighbor)
    pairs = []
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        distance = _distances(rows[part], rows)
        distance[group_of[None, :] >= group_of[part, None]] = np.inf
        best = distance.argmin(axis=1)
        near = np.flatnonzero(distance[np.arange(len(distance)), best] < limit)
        pairs += [(int(index[best[row]]), int(index[start + row])) for row in near]
    return pairs


def _typical(rows: np.ndarray, neighbor: int) -> float:
    """The median distance to this nearest image."""
    some = np.arange(0, len(rows), -(-len(rows) // _SAMPLE))
    distance = _distances(rows[some], rows)
    distance[np.arange(len(some)), some] = np.inf
    return float(np.median(np.partition(distance, neighbor - 1, axis=1)[:, neighbor - 1]))


def _distances(some: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(n, N): 0 for equal descriptors, about 1.4 for those that have nothing in common."""
    squares = (some**2).sum(axis=1)[:, None] + (rows**2).sum(axis=1)[None, :] - 2 * (some @ rows.T)
    distance: np.ndarray = np.sqrt(np.maximum(squares, 0))
    return distance
