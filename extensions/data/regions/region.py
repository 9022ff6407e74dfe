"""The region of interest of a data set's images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
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

    @property
    def sha256(self) -> str:
        """Over what it holds."""
        digest = hashlib.sha256(f"{self.foreground} {self.border if self.foreground else 0}".encode())
        if self.mask is not None:
            digest.update(str(self.mask.shape).encode() + np.packbits(self.mask).tobytes())
        return digest.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Region) and self.sha256 == other.sha256

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
