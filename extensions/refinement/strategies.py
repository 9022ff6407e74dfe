"""Query strategies: `(evidence) -> score of each training image`, higher is removed first."""

from collections.abc import Callable
from functools import wraps

import numpy as np

from extensions.refinement.evidence import Evidence, EvidenceError
from extensions.refinement.softmax import uncertainty

TOP_SHARE = 0.025  # of an image's patches, pooled to its score
N_NEIGHBORS = 6  # one more than the copies of a recurring defect that are expected

Strategy = Callable[[Evidence], np.ndarray]
STRATEGIES: dict[str, Strategy] = {}


def strategy(function: Strategy) -> Strategy:
    """Enter a strategy into `STRATEGIES` under its name, with what all of them promise.

    A strategy's scores are (N,) float64 and finite. It raises an EvidenceError with its name in it for fewer than two
    images, and when there is nothing of what it needs.
    """
    name = function.__name__

    @wraps(function)
    def scored(evidence: Evidence) -> np.ndarray:
        try:
            if len(evidence) < 2:
                msg = f"needs 2 or more images to compare and was given {len(evidence)}"
                raise EvidenceError(msg)
            scores = np.asarray(function(evidence), np.float64)
        except EvidenceError as error:
            msg = f"strategy {name!r}: {error}"
            raise EvidenceError(msg) from error
        assert scores.shape == (len(evidence),), scores.shape
        assert np.isfinite(scores).all()
        return scores

    STRATEGIES[name] = scored
    return scored


@strategy
def entropy(evidence: Evidence) -> np.ndarray:
    """Entropy of the contrastive head's softmax over all other training images, in nats.

    It measures how alike an image is to many others, so in a set of one product the most typical are removed first.
    Differs from what is published for batches: the embeddings are those of eval mode and the others are all training
    images, so the order of batches changes nothing; `entropy_in_batch` is the literal form.
    """
    return _uncertainty(evidence, "entropy")


@strategy
def margin(evidence: Evidence) -> np.ndarray:
    """1 - (largest - second largest probability) of the softmax of `entropy`."""
    return _uncertainty(evidence, "margin")


@strategy
def least_confidence(evidence: Evidence) -> np.ndarray:
    """1 - largest probability of the softmax of `entropy`."""
    return _uncertainty(evidence, "least_confidence")


@strategy
def entropy_in_batch(evidence: Evidence) -> np.ndarray:
    """Entropy of NT-Xent's softmax in random batches of two views, in nats; another batch, another score.

    Of each of the 2 B views over the 2 B - 1 others, averaged over an image's two views. Batches differ by one image
    at most, for the entropy of a shorter last one would be lower.
    """
    return _uncertainty_in_batches(evidence, "entropy")


@strategy
def margin_in_batch(evidence: Evidence) -> np.ndarray:
    """1 - (largest - second largest probability) of the softmax of `entropy_in_batch`."""
    return _uncertainty_in_batches(evidence, "margin")


@strategy
def least_confidence_in_batch(evidence: Evidence) -> np.ndarray:
    """1 - largest probability of the softmax of `entropy_in_batch`."""
    return _uncertainty_in_batches(evidence, "least_confidence")


@strategy
def random(evidence: Evidence) -> np.ndarray:
    """Random numbers: what any strategy must beat."""
    scores = np.empty(len(evidence))
    scores[evidence.order] = evidence.rng.random(len(evidence))
    return scores


@strategy
def discrepancy(evidence: Evidence) -> np.ndarray:
    """Distance between a student and its teacher on the images the student was trained on."""
    return evidence.discrepancy()


@strategy
def out_of_bag(evidence: Evidence) -> np.ndarray:
    """Mean of the largest 2.5 % of an image's patch distances to bootstrap banks that hold nothing of it.

    Scoring out of sample, as Yoon et al., "Self-supervise, Refine, Repeat", 2021, https://arxiv.org/abs/2106.06115, do;
    here by the nearest of a bank's whitened patches, see `extensions.refinement.patch_banks`.
    """
    from extensions.refinement.patch_banks import out_of_bag_distances

    patches, order = evidence.patches(), evidence.order
    distances = np.empty((patches.shape[0], patches.shape[1]))
    distances[order] = out_of_bag_distances(patches[order], rng=evidence.rng)
    n_top = int(np.ceil(TOP_SHARE * distances.shape[1]))
    return np.partition(distances, -n_top, axis=1)[:, -n_top:].mean(axis=1)


@strategy
def patch_neighbors(evidence: Evidence) -> np.ndarray:
    """Mean of the largest 2.5 % of an image's patch distances to the sixth nearest image of each patch.

    See `extensions.refinement.patch_neighbors`. Unlike `out_of_bag` it looks at every patch of every other image, so
    it also serves products that lie as they fall, and a defect must recur six times to vouch for itself.
    """
    return _patch_distances(evidence, [N_NEIGHBORS])[:, 0]


@strategy
def neighbors(evidence: Evidence) -> np.ndarray:
    """Cosine distance of an image's embedding to the sixth nearest."""
    return _embedding_distances(evidence)


@strategy
def mahalanobis(evidence: Evidence) -> np.ndarray:
    """Mahalanobis distance of an image's embedding to the mean of all, under their covariance.

    Shrunk as by Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004,
    https://doi.org/10.1016/S0047-259X(03)00096-4. The image itself is among those that mean and covariance come from;
    leaving it out was no better. A defect that recurs stretches the covariance and hides itself.
    """
    from sklearn.covariance import LedoitWolf

    embeddings = evidence.embeddings().astype(np.float64)
    return np.sqrt(LedoitWolf().fit(embeddings).mahalanobis(embeddings).clip(min=0))


@strategy
def consensus(evidence: Evidence) -> np.ndarray:
    """How far out an image is by its patches and by its embedding together: the default.

    The larger of two standard scores of its patch distances, to the nearest and to the sixth nearest image, plus that
    of `neighbors`. To the nearest an unusual patch stands out most, but one that recurs does not; to the sixth nearest
    both do. See `standardized` for the scale, which is one that scores share whatever strategy they came from: 0 is the
    typical image.
    """
    nearest, sixth = _patch_distances(evidence, [1, N_NEIGHBORS]).T
    patches = np.maximum(standardized(nearest), standardized(sixth))
    return patches + standardized(np.sqrt(_embedding_distances(evidence)))


@strategy
def oracle(evidence: Evidence) -> np.ndarray:
    """1 for injected defects, 0 for all others: the upper bound, from the ground truth."""
    if evidence.injected is None:
        msg = "needs the ground truth and was given none: train on data such as extensions.ContaminatedFolder"
        raise EvidenceError(msg)
    return evidence.injected.astype(np.float64)


def standardized(distances: np.ndarray) -> np.ndarray:
    """Logarithms of distances, less their median, by the median of what the upper half exceeds it.

    Args:
        distances: (N,), 0 or more.

    Returns:
        (N,) float64: 0 at the median, 1 at the upper quartile.
    """
    positive = distances[distances > 0]
    least = positive.min() if len(positive) else 1.0
    logarithms = np.log(np.maximum(distances, least))
    above = logarithms - np.median(logarithms)
    upper = above[above >= 0]
    spread = float(np.median(upper)) or float(upper.mean()) or 1.0
    return above / spread


def _patch_distances(evidence: Evidence, ranks: list[int]) -> np.ndarray:
    """(N, number of ranks), see `extensions.refinement.patch_neighbors`."""
    return evidence.patch_neighbors().distances(evidence.names, ranks, top_share=TOP_SHARE)


def _embedding_distances(evidence: Evidence) -> np.ndarray:
    """(N,) cosine distances to the sixth nearest embedding."""
    embeddings = evidence.embeddings().astype(np.float64)
    unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    distances = 1 - unit @ unit.T
    np.fill_diagonal(distances, np.inf)
    rank = min(N_NEIGHBORS, len(evidence) - 1)
    return np.partition(distances, rank - 1, axis=1)[:, rank - 1].clip(min=0)


def _uncertainty(evidence: Evidence, measure: str) -> np.ndarray:
    return uncertainty(evidence.contrastive(), temperature=evidence.temperature, measure=measure)


def _uncertainty_in_batches(evidence: Evidence, measure: str) -> np.ndarray:
    views = evidence.views()
    order = evidence.order[evidence.rng.permutation(len(evidence))]
    scores = np.empty(len(evidence))
    for batch in np.array_split(order, max(1, round(len(order) / evidence.batch_size))):
        both = views[:, batch].reshape(2 * len(batch), -1)
        found = uncertainty(both, temperature=evidence.temperature, measure=measure)
        scores[batch] = found.reshape(2, len(batch)).mean(axis=0)
    return scores
