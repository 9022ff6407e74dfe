"""What a model says of fits that can share work: which they are, and which of them should be the first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FitOrder:
    """Returned by a model class's `fit_order(init_args)`; a class without one, or None, shares nothing.

    Attributes:
        shared: The arguments in which fits must agree to share work on the same data, with the same seed and trainer.
        place: Among those; the lowest is fitted first.
    """

    shared: Mapping[str, Any]
    place: float
