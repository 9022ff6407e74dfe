"""Run-length codes of COCO, plain and compressed: lengths of background and defect in turn, column by column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from extensions.data.errors import Kind
from extensions.data.labels.regions import Misfit, Size

_FIRST, _BITS, _MORE, _SIGN = 48, 5, 0x20, 0x10  # of a character of the compressed form
_MOST_CHARACTERS = 13  # of one number: 64 bits


@dataclass(frozen=True)
class RunLength:
    """A code whose counts are known to fill its size.

    Attributes:
        size: Of the image it was made for.
        counts: px of background, of defect, of background, and so on.
    """

    size: Size
    counts: tuple[int, ...]

    def misfit(self, size: Size) -> Misfit | None:
        """Another size than its image's."""
        if self.size == size:
            return None
        return Kind.RUNS_SIZE, f"{self.size[0]}x{self.size[1]} for an image of {size[0]}x{size[1]}"

    def draw(self, size: Size) -> np.ndarray:
        """(height, width) bool."""
        from pycocotools import mask

        width, height = size
        code = mask.frPyObjects({"size": [height, width], "counts": list(self.counts)}, height, width)
        return np.asarray(mask.decode(code), bool)


def read_run_length(segmentation: dict[str, Any]) -> RunLength:
    """Read ``{"size": [height, width], "counts": …}``; the counts are a list, or a text in the compressed form.

    pycocotools decodes it, but writes beyond its memory where the counts are more than the pixels: hence the check.

    Raises:
        ValueError: It is corrupt; the reason, without the file's name.
    """
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(size, list) or len(size) != 2 or not all(_is_count(one) and one > 0 for one in size):
        msg = f"size is {size!r}, expected [height, width]"
        raise ValueError(msg)
    height, width = size
    if isinstance(counts, str):
        counts = _decompressed(counts)
    if not isinstance(counts, list) or not all(map(_is_count, counts)):
        msg = "counts hold something else than whole numbers from 0 on"
        raise ValueError(msg)
    if sum(counts) != height * width:
        msg = f"counts add up to {sum(counts)} px, expected {height} x {width} = {height * width}"
        raise ValueError(msg)
    return RunLength((width, height), tuple(counts))


def _decompressed(code: str) -> list[int]:
    """Counts of the compressed form: five bits a character, and from the fourth number on the change since two before.

    After ``rleFrString`` of https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.c.
    """
    counts: list[int] = []
    value = place = 0
    for character in code:
        bits = ord(character) - _FIRST
        if not 0 <= bits < 2 * _MORE or place == _MOST_CHARACTERS:
            msg = f"counts hold {character!r}, which no compressed code has there"
            raise ValueError(msg)
        value |= (bits & (_MORE - 1)) << (_BITS * place)
        place += 1
        if bits & _MORE:
            continue
        if bits & _SIGN:
            value -= 1 << (_BITS * place)
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = place = 0
    if place:
        msg = "counts end in the middle of a number"
        raise ValueError(msg)
    return counts


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
