from __future__ import annotations

import numpy as np
import pytest

from benchmark.metrics.image import image_metrics
from benchmark.metrics.metric_table import HEADLINE, METRICS
from benchmark.metrics.pixel import PixelMetrics


def test_every_computed_metric_is_in_the_table() -> None:
    names = {entry.name for entry in METRICS}
    assert len(names) == len(METRICS)
    assert set(image_metrics([0, 1], [0.0, 1.0], [0, 1])) | set(PixelMetrics().compute()) <= names
    assert set(HEADLINE) <= names


def test_every_metric_states_its_direction() -> None:
    for entry in METRICS:
        if entry.higher_is_better is not None:
            assert f"{'higher' if entry.higher_is_better else 'lower'} is better" in entry.meaning.lower(), entry.name
        assert entry.label
        assert entry.format


def test_guessing_gives_what_the_meaning_says_of_it() -> None:
    rng = np.random.default_rng(0)
    metrics = PixelMetrics()
    masks = np.zeros((6, 64, 64), dtype=bool)
    masks[:, 10:40, 10:40] = True
    metrics.update(rng.random((6, 64, 64)), masks, np.arange(6) % 2)
    found = metrics.compute()
    assert found["pixel_AUPRO"] == pytest.approx(0.15, abs=0.01)
    assert found["pixel_AUROC"] == pytest.approx(0.5, abs=0.02)
    assert found["pixel_AveragePrecision"] == pytest.approx(masks.mean(), abs=0.02)
