"""The scale of a detector: where scores and map values of good images lie, and how far they spread."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch.nn import functional as F

HELD_OUT = "held_out.json"
"""Beside a run's record: the scale of its detector."""


@dataclass(frozen=True)
class Scale:
    """Of a detector that was fitted without the images it is measured on.

    Attributes:
        score_location: Mean of the raw scores of held-out good images.
        score_scale: Their standard deviation, greater than 0.
        map_location: Mean of all pixels of their raw maps; None for a detector without maps.
        map_scale: The standard deviation of these pixels, greater than 0.
        n_images: How many images were held out.
        seconds: What fitting without them and scoring them took.
        ratio: Share of the training images that was asked to be held out.
        seed: Of the draw.
    """

    score_location: float
    score_scale: float
    map_location: float | None
    map_scale: float | None
    n_images: int
    seconds: float = 0.0
    ratio: float | None = None
    seed: int | None = None

    def to_json(self) -> str:
        """The text of `HELD_OUT`."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> Scale:
        """What `to_json` gave.

        Raises:
            ValueError: The file holds something else.
        """
        try:
            found = cls(**json.loads(path.read_text(encoding="utf-8")))
            numbers = [found.score_location, found.score_scale, found.map_location or 0.0, found.map_scale or 1.0]
            if not all(math.isfinite(number) for number in numbers) or min(numbers[1], numbers[3]) <= 0:
                raise ValueError(", ".join(map(str, numbers)))
        except (TypeError, ValueError) as error:
            names = ", ".join(field.name for field in fields(cls))
            msg = (
                f"{path}: this holds no scale of a detector ({' '.join(str(error).split())[:120]}); expected numbers "
                f"called {names}, as a sweep with `ensembles:` writes them: run it again with --overwrite all"
            )
            raise ValueError(msg) from error
        return found


class Moments:
    """Mean and deviation of many numbers that come in parts, in double precision; no number is kept.

    Chan et al., "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979,
    https://doi.org/10.1007/978-3-642-51461-6_3.
    """

    def __init__(self) -> None:
        self.n, self.mean, self._squares = 0, 0.0, 0.0

    def add(self, values: torch.Tensor) -> None:
        """Take in numbers of any shape."""
        part = values.detach().double().flatten()
        n, mean = part.numel(), float(part.mean())
        off = mean - self.mean
        total = self.n + n
        self._squares += float((part - mean).square().sum()) + off * off * self.n * n / total
        self.mean += off * n / total
        self.n = total

    @property
    def deviation(self) -> float:
        """Standard deviation, of all but one degree of freedom."""
        return math.sqrt(self._squares / max(self.n - 1, 1))


def standardized(values: torch.Tensor, location: torch.Tensor | float, scale: torch.Tensor | float) -> torch.Tensor:
    """Values of any shape in deviations from what good images have; higher stays more anomalous."""
    return (values - location) / scale


def combined(parts: Sequence[torch.Tensor], how: str) -> torch.Tensor:
    """Standardized values of several detectors, of one shape each, as one of the same shape: `mean` or `maximum`."""
    stacked = torch.stack(list(parts))
    return stacked.mean(dim=0) if how == "mean" else stacked.amax(dim=0)


def at_size(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Maps (N, 1, h, w) at a height and width in px: (N, 1, H, W), bilinear."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
