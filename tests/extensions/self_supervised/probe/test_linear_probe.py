"""The linear probe and the nearest neighbors, compared with scikit-learn and with answers that are known."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import top_k_accuracy_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from extensions.data.splits import held_out
from extensions.self_supervised.probe import linear_probe as module
from extensions.self_supervised.probe.linear_probe import (
    GRID,
    HELD_OUT,
    floor_accuracy,
    knn_accuracy,
    linear_probe,
    standard_error,
    standardized,
    top_accuracy,
)


def blobs(n_classes=4, n_each=30, *, spread=1.0, seed=0, width=6):
    """Classes around centers that are the same for every seed: features (N, F) and labels (N,)."""
    centers = 4 * np.random.default_rng(99).normal(size=(n_classes, width))
    labels = np.repeat(np.arange(n_classes), n_each)
    features = centers[labels] + spread * np.random.default_rng(seed).normal(size=(len(labels), width))
    return features.astype(np.float32), labels


def slow(c):
    return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000))


def test_separable_classes_are_all_told_apart():
    found = linear_probe(*blobs(spread=0.05), *blobs(spread=0.05, seed=1), seed=0)
    assert (found.top1, found.top1_se) == (1.0, 0.0)
    assert knn_accuracy(*blobs(spread=0.05), *blobs(spread=0.05, seed=1)) == 1.0


def test_shuffled_labels_are_told_apart_as_well_as_by_chance():
    (train_x, labels), (test_x, test_y) = blobs(n_each=100), blobs(n_each=100, seed=1)
    shuffled = np.random.default_rng(0).permutation(labels)
    found = linear_probe(train_x, shuffled, test_x, np.random.default_rng(1).permutation(test_y), seed=0)
    assert abs(found.top1 - 0.25) < 4 * found.top1_se


def test_penalty_and_accuracy_are_those_of_a_loop_over_the_grid():
    train, valid, test = blobs(spread=6), blobs(spread=6, seed=1), blobs(spread=6, seed=2)
    accuracy = {c: slow(c).fit(*train).score(*valid) for c in GRID}
    assert len(set(accuracy.values())) > 1
    found = linear_probe(*train, *test, validation=valid, seed=0)
    assert found.c == min(c for c in GRID if accuracy[c] == max(accuracy.values()))
    assert found.top1 == pytest.approx(slow(found.c).fit(*train).score(*test))


def test_without_a_validation_split_a_fifth_of_each_class_chooses_and_all_images_train():
    (train_x, train_y), test = blobs(spread=6), blobs(spread=6, seed=2)
    chosen = held_out([str(row) for row in range(len(train_y))], HELD_OUT, seed=3, labels=train_y.tolist())
    np.testing.assert_array_equal(np.bincount(train_y[chosen]), [6, 6, 6, 6])
    found = linear_probe(train_x, train_y, *test, seed=3)
    same = linear_probe(
        train_x[~chosen], train_y[~chosen], *test, validation=(train_x[chosen], train_y[chosen]), seed=0
    )
    assert found.c == same.c
    assert found.top1 == pytest.approx(slow(found.c).fit(train_x, train_y).score(*test))


def test_the_test_set_does_not_choose_the_penalty():
    train, (test_x, test_y) = blobs(spread=6), blobs(spread=6, seed=2)
    rng = np.random.default_rng(0)
    found = [linear_probe(*train, test_x, rng.permutation(test_y), seed=0) for _ in range(3)]
    assert len({one.c for one in found}) == 1
    assert len({one.top1 for one in found}) > 1


def test_classes_too_small_to_hold_out_any_take_the_middle_penalty():
    train_x, train_y = blobs(n_each=2)
    assert linear_probe(train_x, train_y, *blobs(seed=1), seed=0).c == GRID[len(GRID) // 2]


@pytest.mark.parametrize("top", [1, 3, 5])
def test_top_k_accuracy_is_scikit_learns(top):
    scores, labels = np.random.default_rng(0).normal(size=(50, 8)), np.random.default_rng(1).integers(8, size=50)
    expected = top_k_accuracy_score(labels, scores, k=top, labels=np.arange(8))
    assert top_accuracy(scores, np.arange(8), labels, top=top) == pytest.approx(expected)


def test_top5_is_blank_where_it_would_always_be_right():
    assert linear_probe(*blobs(n_classes=5), *blobs(n_classes=5, seed=1), seed=0).top5 is None
    six = linear_probe(*blobs(n_classes=6, spread=9), *blobs(n_classes=6, spread=9, seed=1), seed=0)
    assert six.top5 is not None
    assert six.top1 < six.top5 < 1


def test_labels_need_not_count_from_zero():
    (train_x, train_y), (test_x, test_y) = blobs(n_classes=2, spread=0.05), blobs(n_classes=2, spread=0.05, seed=1)
    assert linear_probe(train_x, 7 - train_y, test_x, 7 - test_y, seed=0).top1 == 1.0
    assert knn_accuracy(train_x, 7 - train_y, test_x, 7 - test_y) == 1.0


def test_standard_error_is_that_of_a_proportion():
    assert standard_error(0.5, 100) == pytest.approx(0.05)
    drawn = np.random.default_rng(0).binomial(400, 0.3, size=20000) / 400
    assert standard_error(0.3, 400) == pytest.approx(drawn.std(), rel=0.02)


def test_floor_is_the_share_of_the_most_frequent_training_class():
    assert floor_accuracy(np.array([0, 1, 1]), np.array([0, 0, 1, 2])) == 0.25


def test_features_are_standardized_by_the_training_images_alone():
    train = np.array([[0.0, 5.0], [2.0, 5.0]])
    train_x, test_x = standardized(train, np.array([[3.0, 7.0]]))
    np.testing.assert_allclose(train_x, [[-1, 0], [1, 0]])
    np.testing.assert_allclose(test_x, [[2, 2]])


@pytest.mark.parametrize("k", [1, 5, 20, 120])
def test_neighbors_vote_as_scikit_learns_with_the_same_weights(k, monkeypatch):
    train, test = blobs(spread=5), blobs(spread=5, seed=1)
    expected = KNeighborsClassifier(
        n_neighbors=k, metric="cosine", algorithm="brute", weights=lambda distance: np.exp(-distance / 0.07)
    ).fit(*train)
    monkeypatch.setattr(module, "CHUNK_ROWS", 7)
    found = knn_accuracy(*train, *test, k=k)
    assert found == pytest.approx(expected.score(*test))
    assert 0.3 < found < 1


def test_with_fewer_training_images_than_neighbors_all_vote():
    train, test = blobs(n_each=3), blobs(seed=1)
    assert knn_accuracy(*train, *test, k=500) == knn_accuracy(*train, *test, k=12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_y": np.zeros(120, int), "test_y": np.zeros(120, int)}, "one class; a probe tells classes apart"),
        ({"test_y": np.full(120, 9)}, "test: class 9 is not among those of training"),
        ({"train_x": np.full((120, 6), np.nan)}, "train: 120 images have features that are NaN or infinite"),
        ({"test_x": np.zeros((120, 5))}, r"test: found features of shape \(120, 5\) for 120 labels"),
        ({"test_x": np.zeros((0, 6)), "test_y": np.zeros(0, int)}, "for 0 labels; expected"),
    ],
)
def test_what_cannot_be_probed_is_refused(change, message):
    (train_x, train_y), (test_x, test_y) = blobs(), blobs(seed=1)
    given = {"train_x": train_x, "train_y": train_y, "test_x": test_x, "test_y": test_y} | change
    with pytest.raises(ValueError, match=message):
        linear_probe(**given, seed=0)
    with pytest.raises(ValueError, match=message):
        knn_accuracy(**given)


def test_no_neighbor_is_refused():
    with pytest.raises(ValueError, match="k is 0; expected the number of neighbors"):
        knn_accuracy(*blobs(), *blobs(seed=1), k=0)
