"""Which test images each resample of a bootstrap draws: equal for every detector on the same images."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

RESAMPLES = 1000


def resample_counts(
    labels: Sequence[int] | np.ndarray,
    ids: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    n_resamples: int = RESAMPLES,
    seed: int = 0,
) -> np.ndarray:
    """How often each test image is drawn, with replacement and within its label, in each resample.

    The draws are determined by the names, labels and groups of the images and the seed: the order of the images plays
    no part, and every process, machine and version of NumPy draws the same (only raw output of PCG64 is used, which
    NumPy keeps). So two detectors tested on the same images get the same resamples, also months apart, and may be
    compared resample by resample.

    Args:
        labels: ``(N,)``, 0 good, 1 defective.
        ids: ``(N,)`` unique names of the images.
        groups: ``(N,)``, the unit to draw, such as a part: all of its images are drawn together, and groups that hold
            the same labels (good, defective or both) replace each other. None draws images.
        n_resamples: B.
        seed: Another seed draws other resamples.

    Returns:
        ``(n_resamples, N)`` whole numbers (int32), in the order of ``ids``.

    Raises:
        ValueError: Lengths differ, or an id occurs twice.
    """
    truth, names = np.asarray(labels), np.asarray(ids, dtype=str)
    units = names if groups is None else np.asarray(groups, dtype=str)
    if truth.shape != names.shape or units.shape != names.shape or len(set(names.tolist())) != len(names):
        msg = (
            f"resample_counts got {len(truth)} labels, {len(units)} groups and {len(ids)} ids, {len(set(ids))} of them "
            "different; give one of each an image."
        )
        raise ValueError(msg)
    distinct, unit_of = np.unique(units, return_inverse=True)  # sorted: the order of the input is forgotten
    held = [np.bincount(unit_of[truth == label], minlength=len(distinct)) > 0 for label in (0, 1)]
    stratum_of = held[0] + 2 * held[1]
    drawn = np.zeros((n_resamples, len(distinct)), np.int32)
    for stratum in np.unique(stratum_of):
        members = np.flatnonzero(stratum_of == stratum)
        drawn[:, members] = _draws(distinct[members], n_resamples=n_resamples, salt=f"{seed}:{stratum}")
    return drawn[:, unit_of]


def _draws(units: np.ndarray, *, n_resamples: int, salt: str) -> np.ndarray:
    """How often each of the M units is drawn in M draws with replacement, ``(n_resamples, M)``."""
    n = len(units)
    digest = hashlib.sha256("\0".join([salt, *units.tolist()]).encode()).digest()
    raw = np.random.PCG64(int.from_bytes(digest[:16], "little")).random_raw(n_resamples * n)
    # The upper 32 bits times n, shifted back: uniform on 0 to n - 1 to a part in 2^32 / n.
    chosen = ((raw >> np.uint64(32)) * np.uint64(n) >> np.uint64(32)).astype(np.int64).reshape(n_resamples, n)
    cells = chosen + n * np.arange(n_resamples)[:, None]
    return np.bincount(cells.ravel(), minlength=n_resamples * n).reshape(n_resamples, n)
