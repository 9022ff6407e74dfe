from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)

from benchmark.metrics.folds import stratified_folds
from benchmark.metrics.image import auroc_by_kind, best_threshold, decision_metrics, image_metrics


def make_scores(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    labels = rng.permutation(np.repeat([0, 1], [37, 24]))
    noise = rng.normal(size=len(labels))
    scores = {
        "random": noise,
        "shifted": noise + 1.5 * labels,
        "ties": np.round(noise + labels),
        "constant": np.full(len(labels), 0.7),
        "perfect": noise + 100 * labels,
        "inverted": noise - 100 * labels,
        "large and negative": 1e6 * (noise - 10) + 1e6 * labels,
    }[kind]
    return labels, scores


def slow_f1(labels: np.ndarray, called: np.ndarray) -> float:
    tp = sum(bool(c and y) for c, y in zip(called, labels, strict=True))
    wrong = sum(bool(c != y) for c, y in zip(called, labels, strict=True))
    return 2 * tp / (2 * tp + wrong) if tp or wrong else 0.0


KINDS = ["random", "shifted", "ties", "constant", "perfect", "inverted", "large and negative"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_metrics_equal_scikit_learn(kind: str, seed: int) -> None:
    labels, scores = make_scores(kind, np.random.default_rng(seed))
    found = image_metrics(labels, scores, stratified_folds(labels, seed=seed))
    assert found["image_AUROC"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert found["image_AveragePrecision"] == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    assert found["image_F1Max"] == pytest.approx(max(f1_score(labels, scores >= t) for t in scores), abs=1e-12)
    assert found["image_F1Floor"] == pytest.approx(f1_score(labels, np.ones_like(labels)), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_points_of_the_roc_curve_are_those_of_scikit_learn(kind: str, seed: int) -> None:
    labels, scores = make_scores(kind, np.random.default_rng(seed))
    found = image_metrics(labels, scores, stratified_folds(labels, seed=seed))
    rates, recalls, _ = roc_curve(labels, scores, drop_intermediate=False)
    for name, limit in (("image_recall_at_FPR1", 0.01), ("image_recall_at_FPR5", 0.05)):
        assert found[name] == pytest.approx(recalls[rates <= limit].max(), abs=1e-12)
    for name, limit in (("image_FPR_at_recall95", 0.95), ("image_FPR_at_recall100", 1.0)):
        assert found[name] == pytest.approx(rates[recalls >= limit].min(), abs=1e-12)


def test_a_share_that_is_met_exactly_counts() -> None:
    labels = np.repeat([0, 1], [100, 20])
    scores = np.concatenate(
        [np.arange(100), [94, 94.5, *range(200, 218)]]
    )  # five normal ones above 94.5, as many at 95
    found = image_metrics(labels, scores, np.arange(120) % 2)
    assert found["image_recall_at_FPR5"] == 19 / 20
    assert found["image_recall_at_FPR1"] == 18 / 20
    assert found["image_FPR_at_recall95"] == 5 / 100
    assert found["image_FPR_at_recall100"] == 6 / 100


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_cross_fit_f1_equals_a_slow_loop(kind: str, seed: int) -> None:
    labels, scores = make_scores(kind, np.random.default_rng(seed))
    folds = stratified_folds(labels, seed=seed)
    called = np.zeros(len(labels), dtype=bool)
    for fold in (0, 1):
        fitted_on = sorted(scores[folds != fold])
        best, threshold = -1.0, math.nan
        for i, candidate in enumerate(fitted_on):
            value = slow_f1(labels[folds != fold], scores[folds != fold] >= candidate)
            if value >= best and candidate not in fitted_on[:i]:
                best = value
                threshold = candidate if i == 0 else (fitted_on[i - 1] + candidate) / 2
        for i in np.flatnonzero(folds == fold):
            called[i] = scores[i] >= threshold
    assert image_metrics(labels, scores, folds)["image_F1Score"] == pytest.approx(slow_f1(labels, called), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_best_threshold_reaches_f1_max_on_its_own_images(kind: str) -> None:
    labels, scores = make_scores(kind, np.random.default_rng(3))
    threshold = best_threshold(labels, scores)
    found = image_metrics(labels, scores, stratified_folds(labels, seed=0))
    assert f1_score(labels, scores >= threshold) == pytest.approx(found["image_F1Max"], abs=1e-12)


def test_best_threshold_is_halfway_and_of_equal_ones_the_highest() -> None:
    assert best_threshold([0, 0, 1, 1], [1.0, 2.0, 4.0, 5.0]) == 3.0
    # Accepting from 4 upward and from 1 upward both give F1 2/3.
    assert best_threshold([1, 0, 0, 1], [1.0, 2.0, 3.0, 4.0]) == 3.5
    assert best_threshold([1, 1, 0], [1.0, 1.0, 1.0]) == 1.0


def test_best_threshold_between_neighboring_floats_accepts_only_the_upper() -> None:
    lower = 1.0
    upper = math.nextafter(lower, 2)
    assert best_threshold([0, 1], [lower, upper]) == upper


def test_perfect_separation_gives_one_everywhere() -> None:
    labels = [0] * 8 + [1] * 6
    found = image_metrics(labels, [0.1] * 8 + [0.9] * 6, stratified_folds(labels, seed=0))
    assert [found[f"image_{name}"] for name in ("AUROC", "AveragePrecision", "F1Score", "F1Max")] == [1.0] * 4


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_gives_none_and_not_a_number(label: int) -> None:
    found = image_metrics([label] * 5, np.arange(5.0), [0, 1, 0, 1, 0])
    assert len(found) == 9
    assert set(found.values()) == {None}
    assert best_threshold([label] * 5, np.arange(5.0)) is None


def test_a_fold_with_one_class_leaves_only_f1score_none() -> None:
    found = image_metrics([0, 0, 0, 1], [0.0, 1.0, 2.0, 3.0], [0, 1, 0, 1])
    assert found["image_F1Score"] is None
    assert found["image_AUROC"] == 1.0


def test_broken_scores_are_refused_with_their_number() -> None:
    with pytest.raises(ValueError, match="2 of 4 scores are NaN or infinite"):
        image_metrics([0, 1, 0, 1], [0.0, math.nan, math.inf, 1.0], [0, 0, 1, 1])


def test_labels_other_than_0_and_1_are_refused() -> None:
    with pytest.raises(ValueError, match=r"found \[2\.0\]"):
        image_metrics([0, 1, 2], [0.0, 1.0, 2.0], [0, 0, 1])
    with pytest.raises(ValueError, match="shape"):
        image_metrics([0, 1], [0.0, 1.0, 2.0], [0, 0, 1])
    with pytest.raises(ValueError, match="folds"):
        image_metrics([0, 1], [0.0, 1.0], [0])


def test_decisions_at_a_given_threshold_equal_scikit_learn() -> None:
    labels, scores = make_scores("shifted", np.random.default_rng(0))
    called = scores >= 0.4
    found = decision_metrics(labels, scores, 0.4)
    assert found["label_free_Accuracy"] == pytest.approx(accuracy_score(labels, called))
    assert found["label_free_Precision"] == pytest.approx(precision_score(labels, called))
    assert found["label_free_Recall"] == pytest.approx(recall_score(labels, called))
    assert found["label_free_F1Score"] == pytest.approx(f1_score(labels, called))
    assert decision_metrics(labels, scores, 1e9)["label_free_Precision"] is None
    for blank in (decision_metrics(labels, scores, None), decision_metrics(np.ones(3), np.arange(3), 0.5)):
        assert set(blank.values()) == {None}


def test_auroc_of_a_kind_is_that_of_its_images_and_all_normal_ones() -> None:
    labels, scores = make_scores("ties", np.random.default_rng(1))
    kinds = np.where(labels == 1, np.where(np.arange(len(labels)) % 3, "crack", "hole"), "good").tolist()
    found = auroc_by_kind(labels, scores, kinds)
    assert sorted(found) == ["image_AUROC/crack", "image_AUROC/hole"]
    part = [kind in ("good", "hole") for kind in kinds]
    assert found["image_AUROC/hole"] == pytest.approx(roc_auc_score(labels[part], scores[part]))
    assert auroc_by_kind([1, 1], [0.0, 1.0], ["crack", "crack"]) == {}
