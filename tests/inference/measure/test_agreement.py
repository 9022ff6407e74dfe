import dataclasses

import numpy as np
import pytest
from PIL import Image

from inference.measure import agreement
from inference.measure.agreement import compare

TRAINED = (50.0, 99.9, 100.0, 149.0, 250.0)
"""Scores of the trained model; 100 and 150 are its thresholds, 2 (1 % of 200) is tolerated."""


@pytest.fixture
def compared(brightness, tmp_path, monkeypatch):
    """Holds a network that says `found` of five images against a model that says `TRAINED`."""

    def hold(found, upper=150.0, **changes):
        trained = [(score, np.array([[0.0, 255.0]])) for score in TRAINED]
        monkeypatch.setattr(agreement, "engine_predictions", lambda *_: trained)
        predictor = brightness(upper=upper)
        predictor.info = dataclasses.replace(predictor.info, **changes)
        outcome = predictor._outcome
        scores = iter(found)
        monkeypatch.setattr(
            predictor, "_outcome", lambda *_: outcome(next(scores), np.array([[0.0, 255.0]], np.float32), 1.0)
        )
        images = []
        for place in range(len(TRAINED)):
            path = tmp_path / f"{place}.png"
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
            images.append((path, ""))
        names = [path.name for path, _ in images]
        return compare(None, predictor, images, names=names, tolerances=(0.01, 0.01), workspace=tmp_path)

    return hold


def test_verdicts_that_flip_within_the_tolerance_of_either_threshold_are_accepted(compared):
    same = compared(TRAINED)
    assert same.agrees
    assert (same.summary.n_flipped, same.summary.n_flipped_near, same.summary.n_unsure) == (0, 0, 2)
    found = compared((50.0, 100.5, 99.5, 150.5, 250.0))  # at the lower one both ways, at the upper one
    assert found.agrees
    assert (found.summary.n_flipped, found.summary.n_flipped_near) == (0, 3)
    assert [row.torch_verdict for row in found.rows] == ["good", "good", "unsure", "unsure", "defective"]
    assert [row.exported_verdict for row in found.rows] == ["good", "unsure", "good", "defective", "defective"]
    assert [row.near_threshold for row in found.rows] == [False, True, True, True, False]
    assert found.summary.n_exported_unsure == 1
    assert "0 verdicts flipped (3 more within tolerance of the threshold)" in found.sentence()


def test_a_verdict_that_flips_elsewhere_is_counted_though_its_label_stays(compared):
    found = compared((50.0, 99.9, 100.0, 149.0, 149.9))  # defective is unsure now, anomalous both
    assert [row.exported_label for row in found.rows] == [row.torch_label for row in found.rows]
    assert not found.agrees
    assert (found.summary.n_flipped, found.summary.n_flipped_near) == (1, 0)


def test_with_one_threshold_labels_are_counted_as_before(compared):
    found = compared((50.0, 100.5, 99.5, 150.5, 250.0), upper=None)
    assert (found.summary.n_flipped, found.summary.n_flipped_near) == (0, 2)
    assert (found.summary.n_unsure, found.summary.upper_threshold) == (None, None)
    assert "0 labels flipped (2 more" in found.sentence()
