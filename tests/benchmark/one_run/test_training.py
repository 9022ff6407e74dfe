from __future__ import annotations

import numpy as np
import pytest

from benchmark.one_run.training import has_converged

EPOCHS = np.arange(40)


@pytest.mark.parametrize(
    ("curve", "flat"),
    [
        (np.exp(-EPOCHS / 4), True),
        (5 + np.exp(-EPOCHS / 4), True),
        (np.exp(-EPOCHS / 40), False),
        (10 - 0.1 * EPOCHS, False),
        (np.exp(-EPOCHS[:7]), False),
        (np.ones(40), False),
        (np.linspace(1, 2, 40), False),
        ([1.0] * 20 + [float("nan")] * 20, False),
    ],
    ids=[
        "decayed",
        "decayed to a level",
        "still falling",
        "linear",
        "too few epochs",
        "learned nothing",
        "rising",
        "NaN",
    ],
)
def test_a_curve_counts_as_converged_only_when_its_end_is_flat(curve, flat):
    assert has_converged(list(curve)) is flat
