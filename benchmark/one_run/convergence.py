"""Was a gradient model trained long enough? Judged from a loss on training images alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MIN_EPOCHS = 8
TOLERANCE = 0.05


def has_converged(losses: Sequence[float]) -> bool:
    """Tell whether a loss curve is flat at its end.

    The curve counts as flat when the mean loss of the last quarter of the epochs is lower than that of the quarter
    before by at most 5 % of what the training gained in all (first epoch minus last quarter). Fewer than eight epochs
    are never enough to tell. The test set plays no part.

    Args:
        losses: Mean training loss of each epoch, or the loss on images held out of training; lower is better.
    """
    curve = np.asarray(losses, dtype=float)
    if len(curve) < MIN_EPOCHS or not np.isfinite(curve).all():
        return False
    quarter = len(curve) // 4
    last, before = curve[-quarter:].mean(), curve[-2 * quarter : -quarter].mean()
    gained = curve[0] - last
    return bool(gained > 0 and before - last <= TOLERANCE * gained)
