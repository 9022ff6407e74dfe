"""What makes one setting better than another, on the images that a search looks at: pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

TIE = 1e-4
"""Weight of the separation in a trial's value: at most one pair of images in 5,000."""


@dataclass(frozen=True)
class Quality:
    """How well a setting does on one validation part, or on the mean of several.

    Attributes:
        image_AUROC: Higher is better.
        separation: Of the scores of good and bad images, see `separation`; higher is better.
        pixel_AUROC: Higher is better; None without masks.
        latency_ms: Of one image, on this machine, beside what else it does; lower is better.
    """

    image_AUROC: float  # noqa: N815 - the column's name
    separation: float
    pixel_AUROC: float | None  # noqa: N815 - the column's name
    latency_ms: float | None

    @property
    def value(self) -> float:
        """What a search maximizes: image AUROC and, for ties and where it is 1, a little of the separation."""
        return self.image_AUROC + TIE * math.erf(self.separation / 2)

    @property
    def order(self) -> tuple[float, float, float, float]:
        """Sorts the best first: image AUROC, separation to a tenth, pixel AUROC to a thousandth, latency."""
        pixel = -1.0 if self.pixel_AUROC is None else self.pixel_AUROC
        latency = math.inf if self.latency_ms is None else self.latency_ms
        return -round(self.image_AUROC, 6), -round(self.separation, 1), -round(pixel, 3), latency


def separation(labels: np.ndarray, scores: np.ndarray) -> float:
    """How far the scores of bad images lie above those of good ones, in units of their spread.

    `d_a` of signal detection: the difference of the means over the root of the mean variance (Simpson and Fitter 1973,
    What is the best index of detectability?, https://doi.org/10.1037/h0034960). Of normal scores the AUROC is
    Phi(d_a / sqrt(2)): it goes on telling settings apart where all of them rank these images without an error.

    Args:
        labels: (N,), 1 for bad; both classes are there.
        scores: (N,), higher is more anomalous.
    """
    good, bad = scores[labels == 0].astype(float), scores[labels == 1].astype(float)
    spread = math.sqrt((good.var() + bad.var()) / 2)
    difference = float(bad.mean() - good.mean())
    return difference / spread if spread > 0 else math.copysign(math.inf, difference) if difference else 0.0


def mean_quality(qualities: Sequence[Quality]) -> Quality:
    """Of several data sets; what one of them lacks is missing."""

    def mean(name: str) -> Any:
        values = [getattr(one, name) for one in qualities]
        return None if any(value is None for value in values) else float(np.mean(values))

    return Quality(mean("image_AUROC"), mean("separation"), mean("pixel_AUROC"), mean("latency_ms"))
