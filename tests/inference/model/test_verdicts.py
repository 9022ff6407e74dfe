import pytest

from inference.model.metadata import ModelInfo
from inference.model.told_thresholds import thresholds_sentence
from inference.model.verdicts import n_differing, unsure_share, verdict


@pytest.mark.parametrize(
    ("score", "threshold", "upper", "expected"),
    [
        (1.0, None, None, None),
        (1.0, 1.0, None, "defective"),
        (0.9, 1.0, None, "good"),
        (0.9, 1.0, 2.0, "good"),
        (1.0, 1.0, 2.0, "unsure"),
        (1.9, 1.0, 2.0, "unsure"),
        (2.0, 1.0, 2.0, "defective"),
        (1.0, 1.0, 1.0, "defective"),
    ],
)
def test_a_threshold_belongs_to_what_is_above_it(score, threshold, upper, expected):
    assert verdict(score, threshold, upper) == expected
    assert ModelInfo("Padim", (8, 8), threshold=threshold, upper_threshold=upper).verdict(score) == expected


def test_verdicts_are_counted_at_the_thresholds_of_each():
    assert n_differing([0, 1, 2, 3], [0, 10, 20, 30], (1, 2), (10, 20)) == 0
    assert n_differing([0, 1, 2, 3], [0, 10, 20, 30], (1, 2), (10, None)) == 1  # what was unsure is defective
    assert unsure_share([0, 1, 2, 3], 1, 2) == 0.25
    assert unsure_share([0, 1, 2, 3], 1, None) == 0


def test_the_sentence_tells_thresholds_promise_and_unsure_share():
    info = ModelInfo("Padim", (8, 8), threshold=1.0, upper_threshold=2.5, promise="at most 5 % missed", unsure=0.125)
    assert thresholds_sentence(info) == (
        "good below a raw score of 1, defective from 2.5 on, between them unsure; 12.5 % unsure among the images they "
        "were fitted on; at most 5 % missed"
    )
    one = ModelInfo("Padim", (8, 8), threshold=1.0, threshold_source="given")
    assert thresholds_sentence(one) == "defective from a raw score of 1 on; nothing is promised (given)"
    none = ModelInfo("Padim", (8, 8))
    assert thresholds_sentence(none) == "no threshold (none is known): images are scored and not judged"
