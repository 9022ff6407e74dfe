"""What images are aligned to: a template, and how well an image must correlate with it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from extensions.data.alignment.registration import Lie, Registered

UNEVEN = 0.01  # relative difference of aspect ratios from which on a turn would shear


@dataclass(frozen=True, eq=False)
class Alignment:
    """The template of a data set's parts; equal by what it holds.

    Attributes:
        template: (h, w) uint8, the mean of aligned good training images, its longer side 256 px.
        least: Correlation with the template below which an image counts as not aligned.
    """

    template: np.ndarray
    least: float

    @cached_property
    def sha256(self) -> str:
        """Over what it holds."""
        size = f"{self.template.shape} {self.least!r}"
        return hashlib.sha256(size.encode() + np.ascontiguousarray(self.template).tobytes()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Alignment) and self.sha256 == other.sha256

    def __repr__(self) -> str:
        return f"Alignment({self.sha256})"

    def __hash__(self) -> int:
        return hash(self.sha256)

    @cached_property
    def _registered(self) -> Registered:
        from extensions.data.alignment.template import of_levels

        return of_levels(self.template)

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse an image of this height and width that is of another shape than the template.

        Raises:
            ValueError: It names both.
        """
        from extensions.data.alignment.registration import working_size

        height, width = self.template.shape
        if abs(size[0] * width / (size[1] * height) - 1) > UNEVEN and working_size(size) != (height, width):
            msg = (
                f"the image is {size[1]} x {size[0]} px (width x height), but the template that it is to be aligned to "
                f"has the shape {width} x {height}: give images of one aspect ratio"
            )
            raise ValueError(msg)

    def lie(self, levels: np.ndarray) -> Lie:
        """How an image lies; unturned, with a correlation of 0, where nothing was found.

        Args:
            levels: (H, W) uint8.

        Raises:
            ValueError: The image is of another shape than the template.
        """
        from extensions.data.alignment.registration import Lie, lie_of, prepared

        self.check_size((levels.shape[0], levels.shape[1]))
        size = (self.template.shape[0], self.template.shape[1])
        found = lie_of(prepared(levels, size), self._registered)
        return Lie(np.eye(2, 3), 0.0) if found is None else found

    def is_met(self, lie: Lie) -> bool:
        """Whether an image that lies so counts as aligned."""
        return lie.correlation >= self.least

    def stored(self) -> dict[str, Any]:
        """A plain value and a tensor."""
        import torch

        return {"template": torch.from_numpy(self.template.copy()), "least": self.least}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """What `stored` gave."""
        return cls(np.ascontiguousarray(stored["template"].numpy()), float(stored["least"]))

    def packed(self) -> dict[str, Any]:
        """For JSON: the template as PNG in base 64."""
        import cv2

        content = cv2.imencode(".png", self.template)[1].tobytes()
        return {"template": base64.b64encode(content).decode("ascii"), "least": self.least}

    @classmethod
    def unpacked(cls, packed: Mapping[str, Any]) -> Self:
        """What `packed` gave.

        Raises:
            ValueError: It is something else.
        """
        import cv2

        try:
            content = np.frombuffer(base64.b64decode(packed["template"], validate=True), np.uint8)
            template = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)
            if template is None:
                msg = "the template is no PNG"
                raise ValueError(msg)
            return cls(template, float(packed["least"]))
        except (KeyError, TypeError, cv2.error) as error:
            msg = f"it has no template ({type(error).__name__}: {error})"
            raise ValueError(msg) from error
