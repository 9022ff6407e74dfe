"""The region of interest of a data set's images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from extensions.configuration.checked_values import check_values, check_whole

FOREGROUND = "foreground"


@dataclass(frozen=True, eq=False)
class Region:
    """Which pixels of an image are looked at; equal by what it holds.

    Attributes:
        mask: (H, W) bool at the size of all images, true inside; None where no image or polygon says so.
        foreground: Whether only what is not background is inside, found anew in each image, see
            `extensions.data.regions.foreground`.
        border: Width in px of the rim that is taken off the foreground, at the size that the network sees; that of a
            mask is taken off already.
    """

    mask: np.ndarray | None
    foreground: bool = False
    border: int = 0

    @cached_property
    def sha256(self) -> str:
        """Over what it holds."""
        digest = hashlib.sha256(f"{self.foreground} {self.border if self.foreground else 0}".encode())
        if self.mask is not None:
            digest.update(str(self.mask.shape).encode() + np.packbits(self.mask).tobytes())
        return digest.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Region) and self.sha256 == other.sha256

    def __repr__(self) -> str:
        return f"Region({self.sha256})"

    def __hash__(self) -> int:
        return hash(self.sha256)

    def stored(self) -> dict[str, Any]:
        """Plain values and a tensor."""
        import torch

        mask = None if self.mask is None else torch.from_numpy(self.mask.astype(np.uint8))
        return {"mask": mask, "foreground": self.foreground, "border": self.border}

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Self:
        """What `stored` gave."""
        mask = stored["mask"]
        return cls(None if mask is None else mask.numpy() > 0, bool(stored["foreground"]), int(stored["border"]))


def check_border(border: int) -> int:
    """The width in px.

    Raises:
        ValueError: It is no whole number of 0 or more.
    """
    check_whole(border=border)
    check_values(border=(border, border >= 0, "a number of px, 0 or more"))
    return border


def runs_of(mask: np.ndarray) -> list[int]:
    """A mask (H, W) bool as lengths of runs, row by row, the first of what is outside (0 where it begins inside)."""
    flat = np.concatenate([[False], mask.ravel(), [False]]).astype(np.int8)
    changes = np.flatnonzero(np.diff(flat))
    ends = np.concatenate([[0], changes, [mask.size]])
    return np.diff(ends).tolist()


def mask_of(runs: list[int], size: tuple[int, int]) -> np.ndarray:
    """What `runs_of` was given.

    Raises:
        ValueError: The runs are of another size.
    """
    mask = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    if len(mask) != size[0] * size[1]:
        msg = f"runs of {len(mask)} pixels, expected {size[0]} x {size[1]}"
        raise ValueError(msg)
    return mask.reshape(size)
