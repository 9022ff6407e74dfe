"""How much of the classes a frozen encoder's features show: a linear classifier and nearest neighbors."""

from __future__ import annotations

import logging
import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from extensions.configuration.checked_values import check_values
from extensions.data.splits import held_out
from extensions.runtime.progress import progress_bar

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

logger = logging.getLogger(__name__)

GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # inverse strength of the L2 penalty, scikit-learn's C
HELD_OUT = 0.2  # part of each class that chooses C where there is no validation split
N_NEIGHBORS = 20
TEMPERATURE = 0.07
TOP = 5
MAX_ITERATIONS = 2000
CHUNK_ROWS = 512


@dataclass(frozen=True)
class ProbeScores:
    """What a linear probe found on the test images.

    Attributes:
        c: The chosen inverse strength of the L2 penalty, one of `GRID`.
        top1: Part of the test images whose class is the most probable one, 0 to 1, higher is better.
        top1_se: One standard error of `top1`.
        top5: Part whose class is among the five most probable; None with five classes or fewer, where all would be.
    """

    c: float
    top1: float
    top1_se: float
    top5: float | None


def linear_probe(
    train_x: np.ndarray,
    train_y: np.ndarray,
    test_x: np.ndarray,
    test_y: np.ndarray,
    *,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    seed: int,
) -> ProbeScores:
    """Linear evaluation: multinomial logistic regression on standardized features of a frozen encoder.

    As in Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", 2020,
    https://arxiv.org/abs/2002.05709, section B.8: L-BFGS with an L2 penalty chosen on validation images, never on
    the test images, then a fit on all training images. Differs from it: features are standardized by the training
    images' mean and standard deviation, there are five strengths instead of 45, validation images do not train,
    and nothing is augmented.

    Args:
        train_x: (N, F) features.
        train_y: (N,) whole numbers, the classes.
        test_x: (M, F).
        test_y: (M,).
        validation: Features (V, F) and classes (V,) that choose the strength; None: a seeded fifth of each class is
            held out of training for that. With classes too small to hold out any, the middle of `GRID` is taken.
        seed: Of what is held out.

    Raises:
        ValueError: Fewer than two classes, a class that is not in training, features that are not finite or of
            another width, or no images.

    Example:
        >>> linear_probe(train_x, train_y, test_x, test_y, seed=0).top1
    """
    check_features(train_x, train_y, test_x, test_y, validation=validation)
    c = _choose_c(train_x, train_y, validation, seed=seed)
    train_x, test_x = standardized(train_x, test_x)
    model = _classifier(c).fit(train_x, train_y)
    if int(np.max(model.n_iter_)) >= MAX_ITERATIONS:
        logger.warning("logistic regression with C=%g has not converged after %d iterations", c, MAX_ITERATIONS)
    scores, classes = model.predict_log_proba(test_x), model.classes_
    top1 = top_accuracy(scores, classes, test_y, top=1)
    top5 = top_accuracy(scores, classes, test_y, top=TOP) if len(classes) > TOP else None
    return ProbeScores(c, top1, standard_error(top1, len(test_y)), top5)


def knn_accuracy(
    train_x: np.ndarray,
    train_y: np.ndarray,
    test_x: np.ndarray,
    test_y: np.ndarray,
    *,
    k: int = N_NEIGHBORS,
    temperature: float = TEMPERATURE,
) -> float:
    """Part of the test images whose class their nearest training images vote for, 0 to 1, higher is better.

    The weighted vote of Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", 2018,
    https://arxiv.org/abs/1805.01978: of the k images of largest cosine similarity s each has exp(s / temperature)
    votes for its class; of equal classes the first wins. Differs from the paper: k is 20, not 200, for training sets
    of hundreds of images a class; features are taken as they come (standardize them first: `standardized`).

    Args:
        train_x: (N, F).
        train_y: (N,) whole numbers, the classes.
        test_x: (M, F).
        test_y: (M,).
        k: Neighbors that vote; all training images where there are fewer.
        temperature: Above 0.

    Raises:
        ValueError: As in `linear_probe`, or k below 1.
    """
    check_features(train_x, train_y, test_x, test_y)
    check_values(k=(k, k >= 1, "the number of neighbors that vote, 1 or more"))
    classes, places = np.unique(train_y, return_inverse=True)
    k, bank = min(k, len(train_x)), _unit(train_x)
    found = []
    for start in range(0, len(test_x), CHUNK_ROWS):
        similarities = _unit(test_x[start : start + CHUNK_ROWS]) @ bank.T
        nearest = np.argpartition(-similarities, k - 1, axis=1)[:, :k]  # (rows, k)
        weights = np.exp((np.take_along_axis(similarities, nearest, axis=1) - 1) / temperature)
        votes = np.zeros((len(nearest), len(classes)))
        np.add.at(votes, (np.arange(len(nearest))[:, None], places[nearest]), weights)
        found.append(classes[votes.argmax(axis=1)])
    return float((np.concatenate(found) == test_y).mean())


def standardized(train_x: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Features less the training images' mean, by their standard deviation; a constant feature becomes 0 there."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(np.asarray(train_x, np.float64))
    return [scaler.transform(np.asarray(features, np.float64)) for features in (train_x, *others)]


def top_accuracy(scores: np.ndarray, classes: np.ndarray, labels: np.ndarray, *, top: int) -> float:
    """Part of the rows whose label is among the `top` classes of highest score; of equal scores the first class wins.

    Args:
        scores: (M, K), higher is more probable.
        classes: (K,) that the columns stand for.
        labels: (M,).
        top: 1 or more.
    """
    best = classes[np.argsort(-scores, axis=1, kind="stable")[:, :top]]
    return float((best == np.asarray(labels)[:, None]).any(axis=1).mean())


def standard_error(accuracy: float, n_images: int) -> float:
    """One standard error of an accuracy on that many independent images: sqrt(p (1 - p) / n)."""
    return math.sqrt(accuracy * (1 - accuracy) / n_images)


def floor_accuracy(train_y: np.ndarray, test_y: np.ndarray) -> float:
    """Accuracy of always answering the most frequent class of training, without looking at an image."""
    classes, counts = np.unique(train_y, return_counts=True)
    return float((test_y == classes[counts.argmax()]).mean())


def check_features(
    train_x: np.ndarray,
    train_y: np.ndarray,
    test_x: np.ndarray,
    test_y: np.ndarray,
    *,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
) -> None:
    """Refuse what a probe cannot be computed from; errors as in `linear_probe`."""
    parts = {"train": (train_x, train_y), "test": (test_x, test_y)}
    parts |= {"validation": validation} if validation is not None else {}
    for name, (features, labels) in parts.items():
        if not len(labels) or features.shape != (len(labels), train_x.shape[1]):
            found = f"features of shape {features.shape} for {len(labels)} labels"
            msg = f"{name}: found {found}; expected (n, {train_x.shape[1]}) for n labels, n above 0"
            raise ValueError(msg)
        if not np.isfinite(features).all():
            msg = f"{name}: {int((~np.isfinite(features)).any(axis=1).sum())} images have features that are NaN or "
            msg += "infinite; the encoder's weights are damaged or its training has diverged"
            raise ValueError(msg)
        if unknown := sorted(set(np.unique(labels)) - set(np.unique(train_y))):
            msg = f"{name}: class {unknown[0]} is not among those of training; give images of it to training, too"
            raise ValueError(msg)
    if len(np.unique(train_y)) < 2:
        msg = "train: found one class; a probe tells classes apart, so give it two or more"
        raise ValueError(msg)


def _choose_c(
    train_x: np.ndarray, train_y: np.ndarray, validation: tuple[np.ndarray, np.ndarray] | None, *, seed: int
) -> float:
    """The member of `GRID` with the highest accuracy on validation images; of equal ones the strongest penalty."""
    if validation is None:
        chosen = held_out([str(row) for row in range(len(train_y))], HELD_OUT, seed=seed, labels=train_y.tolist())
        if not chosen.any() or len(np.unique(train_y[~chosen])) < 2:
            return GRID[len(GRID) // 2]
        validation = train_x[chosen], train_y[chosen]
        train_x, train_y = train_x[~chosen], train_y[~chosen]
    train_x, valid_x = standardized(train_x, validation[0])
    model = _classifier(GRID[0], warm_start=True)
    accuracy = {}
    for c in progress_bar(GRID, title="choosing C", unit="fit"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one that has not converged competes as it is
            accuracy[c] = model.set_params(C=c).fit(train_x, train_y).score(valid_x, validation[1])
    return max(accuracy, key=lambda c: (accuracy[c], -c))


def _classifier(c: float, *, warm_start: bool = False) -> LogisticRegression:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=c, max_iter=MAX_ITERATIONS, warm_start=warm_start)


def _unit(features: np.ndarray) -> np.ndarray:
    """Rows of unit length, (n, F) float64; a row of zeros stays."""
    rows = np.asarray(features, np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float64).tiny)
