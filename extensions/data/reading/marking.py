"""Which pixels of a mask count as defect, and whether they look like a defect at all."""

from dataclasses import dataclass
from enum import Enum

import numpy as np

MOST_CLASSES = 16  # more values than these are grey values, unless they are numbered through
MOST_NUMBERS = 64  # as classes or instances are; more numbers in a row are those of a photograph
FLAT = 0.85  # of the pixels in the background: then the rest is drawn, however soft its edges are
LOWEST_WHITE = 32  # a JPEG mask whose white is darker than this cannot be told from compression noise


class Look(Enum):
    """What a mask looks like; the numbers stand in the cache."""

    MARKED = 0  # some pixels on a background of 0
    BLACK = 1  # nothing is marked
    WHOLE = 2  # every pixel has one and the same value, which is not 0
    NO_BACKGROUND = 3  # several values, none of them 0
    FRAMED = 4  # most of the mask and all but its whole border are marked, as on a mask that is black on white
    IGNORE = 5  # small class numbers and 255, which often stands for pixels to ignore
    GREY = 6  # too many pixels between black and white: a photograph, a heat map
    FAINT = 7  # a JPEG of class numbers


@dataclass(frozen=True)
class Marking:
    """A mask as read.

    Attributes:
        marks: (H, W) uint8, 1 is defect.
        look: see `Look`.
        share: of the pixels that are marked, 0 to 1.
        is_cut: whether grey values were cut at half of their range.
        is_crisp: whether four fifths of the pixels and more have one of two values, or nearly so: no photograph does.
    """

    marks: np.ndarray
    look: Look
    share: float
    is_cut: bool
    is_crisp: bool


def read_marks(values: np.ndarray, *, is_jpeg: bool = False) -> Marking:
    """Tell defect from background.

    Every value but 0 is defect. A mask with grey values, which come from JPEG or from soft edges, is cut at half of its
    range: what JPEG leaves around a defect would count as defect otherwise. Grey are those of a JPEG, few values beside
    black and white, as in a JPEG saved as PNG, and more than 16 values that are not numbered through, up to 64, as
    those of classes or instances are.

    Args:
        values: (H, W) numbers or booleans.
        is_jpeg: whether the file was compressed with loss.
    """
    levels, counts = _levels(values)
    low, high = float(levels[0]), float(levels[-1])
    is_numbered = len(levels) == high - low + 1 and low in {0.0, 1.0} and high <= MOST_NUMBERS
    is_noisy = len(levels) <= MOST_CLASSES and _is_noisy(levels)
    is_grey = len(levels) > 2 and (is_jpeg or is_noisy or (len(levels) > MOST_CLASSES and not is_numbered))
    if is_grey and high - low >= LOWEST_WHITE * (high > 1):
        cut = (low + high) / 2
        marks = (values >= cut).astype(np.uint8)
    elif is_jpeg and low > 0 and high - low < LOWEST_WHITE <= low:
        is_grey, marks = False, np.ones(values.shape, np.uint8)  # white, with a little noise
    else:
        marks = np.not_equal(values, 0).astype(np.uint8)
    share = float(marks.mean())
    if is_jpeg and 0 < high < LOWEST_WHITE:
        look = Look.FAINT
    elif is_grey and _is_photograph(levels, counts):
        look = Look.GREY
    else:
        look = _look(marks, share, levels, is_grey=is_grey)
    return Marking(marks, look, share, is_grey, _is_crisp(levels, counts))


def _look(marks: np.ndarray, share: float, levels: np.ndarray, *, is_grey: bool) -> Look:
    if share == 0:
        return Look.BLACK
    if share == 1:
        return Look.WHOLE if len(levels) == 1 or is_grey else Look.NO_BACKGROUND
    border = np.concatenate([marks[0], marks[-1], marks[:, 0], marks[:, -1]])
    if share > 0.5 and float(border.mean()) >= 0.9:
        return Look.FRAMED
    small = levels[(levels > 0) & (levels < 255)]
    is_ignore = not is_grey and levels[-1] == 255 and len(small) > 0 and small.max() <= LOWEST_WHITE
    return Look.IGNORE if is_ignore else Look.MARKED


def _is_photograph(levels: np.ndarray, counts: np.ndarray) -> bool:
    """Whether many pixels, and more than are white, lie away from both ends of the range.

    Soft edges of thin defects do so, too, but stand on a background of one value, from which heat maps rise slowly.
    """
    low, high = float(levels[0]), float(levels[-1])
    margin = (high - low) / 8
    total = counts.sum()
    if counts[levels <= low + margin / 4].sum() >= FLAT * total:
        return False
    between = counts[(levels > low + margin) & (levels < high - margin)].sum() / total
    white = counts[levels >= high - margin].sum() / total
    return bool(between > 0.15 or (between > 0.02 and between > white))


def _is_noisy(levels: np.ndarray) -> bool:
    """Whether there are values next to black and next to white, and none between."""
    low, high = float(levels[0]), float(levels[-1])
    margin = (high - low) / 8
    is_low, is_high = levels <= low + margin, levels >= high - margin
    return bool(high == 255 and is_low.sum() > 1 and is_high.sum() > 1 and (is_low | is_high).all())


def _is_crisp(levels: np.ndarray, counts: np.ndarray) -> bool:
    margin = 0.02 * (float(levels[-1]) - float(levels[0]))
    ends = counts[(levels <= levels[0] + margin) | (levels >= levels[-1] - margin)].sum()
    return bool(ends >= 0.8 * counts.sum())


def _levels(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values that occur, ascending, and how often."""
    if values.dtype == np.bool_:
        values = values.astype(np.uint8)
    if values.dtype == np.uint8:
        import cv2

        counts = cv2.calcHist(
            [np.ascontiguousarray(values)], [0], None, [256], [0, 256]
        ).ravel()  # ten times as fast as numpy's
        levels = np.flatnonzero(counts)
        return levels, counts[levels]
    return np.unique(values, return_counts=True)
