"""Which images a rule removes, and that it stops."""

import numpy as np
import pytest

from extensions.refinement import RULES


def skewed(n: int = 400, seed: int = 0) -> np.ndarray:
    """Scores of clean data: distances, with a tail to the right."""
    return np.exp(np.random.default_rng(seed).normal(0, 0.3, n))


@pytest.fixture(params=sorted(RULES))
def rule(request: pytest.FixtureRequest):
    return RULES[request.param]


def test_the_worst_come_first(rule):
    scores = np.concatenate([skewed(), [50.0, 70.0, 60.0]])
    assert rule(scores, n_start=403)[:3].tolist() == [401, 402, 400]


def test_the_floor_is_kept_whatever_the_rule_wants(rule):
    scores = np.concatenate([skewed(80), np.full(20, 50.0)])
    removed = rule(scores, n_start=100, floor=0.95)
    assert len(removed) == 5 if rule is not RULES["fixed_share"] else len(removed) <= 5
    assert len(rule(scores[:95], n_start=100, floor=0.95)) == 0


def test_rounds_come_to_an_end(rule):
    scores, kept, n_rounds = skewed(), np.arange(400), 0
    while len(removed := rule(scores[kept], n_start=400)):
        kept = np.delete(kept, removed)
        n_rounds += 1
    assert n_rounds <= 20
    assert len(kept) >= 320


def test_the_floor_is_not_missed_by_rounding():
    assert len(RULES["fixed_count"](np.arange(10.0), n_start=10, floor=0.7, count=9)) == 3


def test_fixed_count_and_share_remove_what_they_say():
    scores = np.arange(50.0)
    assert RULES["fixed_count"](scores, n_start=60, count=2).tolist() == [49, 48]
    assert RULES["fixed_share"](scores, n_start=60, share=0.04).tolist() == [49, 48]
    assert RULES["fixed_share"](scores[:10], n_start=10, share=0.01).tolist() == [9]


def test_mad_removes_next_to_nothing_from_clean_data():
    shares = [len(RULES["mad"](skewed(seed=seed), n_start=400)) / 400 for seed in range(20)]
    assert np.mean(shares) < 0.02


def test_mad_removes_all_that_stand_out_up_to_the_floor():
    scores = np.concatenate([skewed(), np.full(40, 20.0)])
    assert set(range(400, 440)) <= set(RULES["mad"](scores, n_start=440).tolist())


def test_mad_finds_many_that_widen_the_scale_of_all():
    scores = np.concatenate([skewed(), np.linspace(2.6, 6, 80)])
    once = np.median(scores) + 3.3 * 1.4826 * np.median(scores[scores >= np.median(scores)] - np.median(scores))
    assert once > 2.9, "a single pass would miss some"
    assert set(range(400, 480)) <= set(RULES["mad"](scores, n_start=480).tolist())


def test_mad_is_not_moved_by_scale_or_place():
    scores = skewed()
    expected = RULES["mad"](scores, n_start=400, t=2)
    np.testing.assert_array_equal(RULES["mad"](5 * scores - 3, n_start=400, t=2), expected)
    assert len(expected)


def test_mad_removes_nothing_where_all_scores_are_equal():
    assert len(RULES["mad"](np.full(50, 2.0), n_start=50)) == 0


def test_mad_removes_the_ones_among_zeros_of_the_oracle():
    scores = np.zeros(100)
    scores[:10] = 1
    assert sorted(RULES["mad"](scores, n_start=100)) == list(range(10))


def test_two_images_are_too_few_to_stand_out():
    assert len(RULES["mad"](np.array([0.0, 9.0]), n_start=2)) == 0


def test_a_score_that_is_not_finite_is_an_error(rule):
    with pytest.raises(ValueError, match="finite"):
        rule(np.array([1.0, np.nan, 2.0, 3.0]), n_start=4)


@pytest.mark.parametrize(
    ("name", "arguments", "found"),
    [
        ("fixed_count", {"count": -1}, "count is -1"),
        ("fixed_share", {"share": 0.0}, "share is 0.0"),
        ("mad", {"t": 0.0}, "t is 0.0"),
        ("mad", {"floor": 1.5}, "floor is 1.5"),
        ("mad", {"n_start": 3}, "n_start is 3"),
    ],
)
def test_an_argument_out_of_range_is_an_error_that_names_it(name, arguments, found):
    with pytest.raises(ValueError, match=f"{found}.*expected"):
        RULES[name](np.arange(5.0), **({"n_start": 5} | arguments))
