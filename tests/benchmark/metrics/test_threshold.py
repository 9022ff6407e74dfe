import numpy as np
import pytest

from benchmark.metrics.image import best_threshold
from benchmark.metrics.threshold import image_threshold

SCORES = np.array([0.1, 0.2, 0.3, 0.9])


@pytest.mark.parametrize(
    ("labels", "expected", "source"),
    [
        ([0, 0, 1, 1], best_threshold([0, 0, 1, 1], SCORES), "maximal F1 on all labelled test images"),
        ([0, 0, 0, 0], np.quantile(SCORES, 0.99), "99% quantile of 4 held-out normal images"),
        ([1, 1, 1, 1], None, "none, for no test image is normal"),
    ],
)
def test_the_rule_follows_from_the_kinds_of_images(labels, expected, source):
    assert image_threshold(np.array(labels), SCORES) == (expected, source)
