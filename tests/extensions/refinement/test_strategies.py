"""One contract for all query strategies, and what each of them is for."""

from collections.abc import Callable

import numpy as np
import pytest

from extensions.refinement import STRATEGIES, Evidence, EvidenceError
from extensions.refinement.evidence import pooled
from extensions.refinement.strategies import standardized

N_IMAGES, N_PATCHES, N_CHANNELS = 40, 16, 12
PLANTED = 7
LITERAL = ("entropy_in_batch", "margin_in_batch", "least_confidence_in_batch")
FINDING = ("consensus", "discrepancy", "mahalanobis", "neighbors", "oracle", "out_of_bag", "patch_neighbors")


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def made_up(n: int = N_IMAGES, *, planted: bool = True) -> dict[str, np.ndarray]:
    """What a data set of one product gives: patches by place with noise; image `PLANTED` has a defect in three."""
    rng = np.random.default_rng(0)
    patches = rng.normal(size=(1, N_PATCHES, N_CHANNELS)) * 2 + rng.normal(size=(n, N_PATCHES, N_CHANNELS)) * 0.3
    heads = unit(rng.normal(size=(1, 8)) + rng.normal(size=(n, 8)) * 0.2)
    found = {
        "names": np.array([f"good/{index:03}.png" for index in rng.permutation(n)]),
        "patches": patches.astype(np.float32),
        "contrastive": heads,
        "views": np.stack([heads, unit(heads + rng.normal(size=heads.shape) * 0.1)]),
        "discrepancy": rng.uniform(0.1, 0.2, n),
        "injected": np.zeros(n, bool),
    }
    if planted and n > PLANTED:
        found["patches"][PLANTED, 3:6] += 6
        found["contrastive"][PLANTED] *= -1
        found["discrepancy"][PLANTED] = 0.9
        found["injected"][PLANTED] = True
    return found


def evidence(arrays: dict[str, np.ndarray], *, order: np.ndarray | None = None, seed: int = 0, **changes) -> Evidence:
    order = np.arange(len(arrays["names"])) if order is None else order
    rows = {name: array[:, order] if name == "views" else array[order] for name, array in arrays.items()}
    return Evidence(rows.pop("names").tolist(), rng=np.random.default_rng(seed), **(rows | changes))


@pytest.fixture(params=sorted(STRATEGIES))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_the_table_has_every_strategy_of_the_readme():
    listed = {"entropy", "margin", "least_confidence", "random", "discrepancy", "out_of_bag", "neighbors", "oracle"}
    assert set(STRATEGIES) == listed | {"patch_neighbors", "mahalanobis", "consensus", *LITERAL}


def test_a_score_for_each_image_float64_and_finite(name):
    scores = STRATEGIES[name](evidence(made_up()))
    assert scores.shape == (N_IMAGES,)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()


def test_the_order_of_the_images_changes_nothing(name):
    arrays, order = made_up(), np.random.default_rng(1).permutation(N_IMAGES)
    scores, shuffled = STRATEGIES[name](evidence(arrays)), STRATEGIES[name](evidence(arrays, order=order))
    np.testing.assert_allclose(shuffled, scores[order], rtol=1e-4, atol=1e-6)


def test_a_seed_gives_the_same_scores_again(name):
    np.testing.assert_array_equal(STRATEGIES[name](evidence(made_up())), STRATEGIES[name](evidence(made_up())))


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_a_handful_of_images_is_enough(name, n):
    assert np.isfinite(STRATEGIES[name](evidence(made_up(n)))).all()


def test_equal_images_have_equal_finite_scores(name):
    arrays = made_up(planted=False)
    for key in ("patches", "contrastive", "discrepancy"):
        arrays[key][:] = arrays[key][:1]
    arrays["views"][:] = arrays["views"][:, :1]
    scores = STRATEGIES[name](evidence(arrays))
    if name != "random":
        np.testing.assert_allclose(scores, scores[0], atol=1e-2)


@pytest.mark.parametrize("name", FINDING)
def test_an_obvious_defect_is_first(name):
    assert STRATEGIES[name](evidence(made_up())).argmax() == PLANTED


def test_one_image_is_an_error_that_names_the_strategy(name):
    with pytest.raises(EvidenceError, match=f"'{name}'.*2 or more images"):
        STRATEGIES[name](evidence(made_up(1)))


def test_missing_evidence_is_an_error_that_names_strategy_and_remedy(name):
    nothing = Evidence(["a.png", "b.png", "c.png"], rng=np.random.default_rng(0))
    if name == "random":
        assert STRATEGIES[name](nothing).shape == (3,)
        return
    with pytest.raises(EvidenceError, match=f"strategy '{name}': needs .* was given none: "):
        STRATEGIES[name](nothing)


def test_only_the_oracle_looks_at_the_truth(name):
    arrays = made_up()
    asked = []

    def truth() -> np.ndarray:
        asked.append(name)
        return arrays["injected"]

    STRATEGIES[name](evidence(arrays, injected=truth))
    assert bool(asked) == (name == "oracle")


def slow_softmax(embeddings: np.ndarray, temperature: float) -> list[np.ndarray]:
    """For each row the probabilities of the others."""
    found = []
    for i, row in enumerate(embeddings):
        weights = np.array([np.exp(row @ other / temperature) for j, other in enumerate(embeddings) if j != i])
        found.append(weights / weights.sum())
    return found


@pytest.mark.parametrize(
    ("measure", "slow"),
    [
        ("entropy", lambda p: -(p * np.log(p)).sum()),
        ("margin", lambda p: 1 - (np.sort(p)[-1] - np.sort(p)[-2])),
        ("least_confidence", lambda p: 1 - p.max()),
    ],
)
def test_uncertainty_is_that_of_the_softmax_over_all_others(measure: str, slow: Callable):
    arrays = made_up()
    expected = [slow(p) for p in slow_softmax(arrays["contrastive"].astype(np.float64), 0.2)]
    np.testing.assert_allclose(STRATEGIES[measure](evidence(arrays, temperature=0.2)), expected, rtol=1e-6)


def test_in_one_batch_the_literal_form_is_nt_xents_softmax_over_both_views():
    arrays = made_up(10)
    both = arrays["views"].reshape(20, -1).astype(np.float64)
    expected = np.reshape([-(p * np.log(p)).sum() for p in slow_softmax(both, 0.5)], (2, 10)).mean(axis=0)
    found = STRATEGIES["entropy_in_batch"](evidence(arrays, batch_size=32))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("name", LITERAL)
def test_in_batches_the_literal_form_depends_on_the_batch(name):
    first, second = (STRATEGIES[name](evidence(made_up(), seed=seed, batch_size=8)) for seed in (0, 1))
    assert np.abs(first - second).max() > 1e-3


def test_neighbors_is_the_cosine_distance_to_the_sixth_nearest():
    arrays = made_up()
    rows = unit(pooled(arrays["patches"])).astype(np.float64)
    expected = [np.sort([1 - row @ other for j, other in enumerate(rows) if j != i])[5] for i, row in enumerate(rows)]
    np.testing.assert_allclose(STRATEGIES["neighbors"](evidence(arrays)), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["patch_neighbors", "neighbors", "consensus"])
def test_five_copies_of_a_defect_do_not_vouch_for_each_other(name):
    arrays = made_up(60, planted=False)
    arrays["patches"][10:15, 3:6] += 5
    scores = STRATEGIES[name](evidence(arrays))
    assert set(np.argsort(-scores)[:5]) == set(range(10, 15))


@pytest.mark.parametrize("name", ["out_of_bag", "patch_neighbors", "neighbors", "consensus"])
def test_a_product_that_lies_as_it_falls_is_not_suspicious_for_it(name):
    arrays = made_up(planted=False)
    arrays["patches"] = np.stack([np.roll(p, 4 * (i % 4), axis=0) for i, p in enumerate(arrays["patches"])])
    arrays["patches"][PLANTED, 3:6] += 6
    assert STRATEGIES[name](evidence(arrays)).argmax() == PLANTED


def test_standard_scores_put_the_median_at_0_and_the_upper_quartile_at_1():
    scores = standardized(np.exp(np.random.default_rng(0).normal(3, 2, 4001)))
    assert abs(np.median(scores)) < 1e-12
    assert abs(np.quantile(scores, 0.75) - 1) < 0.01
