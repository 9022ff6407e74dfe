"""How unsure a contrastive softmax is of each image: what active learning asks a person to label first."""

import numpy as np

CHUNK_ROWS = 512


def uncertainty(embeddings: np.ndarray, *, temperature: float, measure: str) -> np.ndarray:
    """Uncertainty of the softmax that NT-Xent takes (Chen et al., 2020, https://arxiv.org/abs/2002.05709).

    The softmax of an image is over its similarities to all others divided by the temperature. Measures as in
    Settles, "Active Learning Literature Survey", 2009, https://minds.wisc.edu/handle/1793/60660.

    Args:
        embeddings: (N, K) of unit length, N >= 2.
        temperature: Above 0.
        measure: `entropy` in nats; `margin`, 1 - (largest - second largest probability); `least_confidence`,
            1 - largest probability.

    Returns:
        (N,) float64, higher is less sure.
    """
    bank = embeddings.astype(np.float64)
    found = []
    for start in range(0, len(bank), CHUNK_ROWS):
        logits = bank[start : start + CHUNK_ROWS] @ bank.T / temperature
        own = np.arange(len(logits))
        logits[own, start + own] = -np.inf
        logits -= logits.max(axis=1, keepdims=True)
        logarithms = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        found.append(_MEASURES[measure](logarithms))
    return np.concatenate(found)


def _entropy(logarithms: np.ndarray) -> np.ndarray:
    probabilities = np.exp(logarithms)
    return -(probabilities * np.where(probabilities > 0, logarithms, 0)).sum(axis=1)


def _margin(logarithms: np.ndarray) -> np.ndarray:
    largest = np.exp(np.partition(logarithms, -2, axis=1)[:, -2:])
    return 1 - (largest[:, 1] - largest[:, 0])


def _least_confidence(logarithms: np.ndarray) -> np.ndarray:
    return 1 - np.exp(logarithms.max(axis=1))


_MEASURES = {"entropy": _entropy, "margin": _margin, "least_confidence": _least_confidence}
