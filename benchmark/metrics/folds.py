"""Two halves of a test set, for thresholds that are fitted on one and used on the other."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


def stratified_folds(
    labels: Sequence[int] | np.ndarray,
    *,
    seed: int,
    groups: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
) -> np.ndarray:
    """Deal test images into fold 0 and fold 1.

    Both folds get each label to within one image, and each group within a label to within one; a label with at
    least two images is in both. The order is a hash of seed and id, so the folds are the same in every process and
    on every machine, and with ``ids`` they do not depend on the order of the input.

    Args:
        labels: 0 normal, 1 anomalous, one an image.
        seed: Another seed deals other halves.
        groups: Finer strata within a label, such as the kind of defect.
        ids: A stable, unique name of each image, such as its path relative to the data root. Default: its position.
        units: The part that each image is of: all images of a part go into one fold, and what is said above holds of
            parts. A part with a defect is a defective one. Default: each image is a part.

    Returns:
        ``(N,)`` array of 0 and 1.

    Raises:
        ValueError: Lengths differ, or an id occurs twice.
    """
    n = len(labels)
    names = [f"{i:09d}" for i in range(n)] if ids is None else [str(name) for name in ids]
    kinds = [""] * n if groups is None else [str(kind) for kind in groups]
    if len(names) != n or len(kinds) != n:
        msg = f"stratified_folds got {n} labels, {len(kinds)} groups and {len(names)} ids; give one of each an image."
        raise ValueError(msg)
    if len(set(names)) != n:
        msg = f"stratified_folds needs unique ids, but {n - len(set(names))} of {n} repeat another."
        raise ValueError(msg)

    if units is not None:
        return _folds_of_units(labels, units, kinds, seed)
    folds = np.zeros(n, dtype=np.int64)
    for label in sorted({int(label) for label in labels}):
        members = [i for i in range(n) if int(labels[i]) == label]
        members.sort(key=lambda i: (kinds[i], hashlib.sha256(f"{seed}:{names[i]}".encode()).digest()))
        # Neighbors go to opposite folds; labels start at opposite folds so that odd counts even out.
        folds[members] = (np.arange(len(members)) + label) % 2
    return folds


def _folds_of_units(
    labels: Sequence[int] | np.ndarray, units: Sequence[str], kinds: Sequence[str], seed: int
) -> np.ndarray:
    worst: dict[str, tuple[int, str]] = {}
    for unit, label, kind in zip(units, labels, kinds, strict=True):
        worst[unit] = max(worst.get(unit, (0, "")), (int(label), kind))
    names = sorted(worst)
    folds = stratified_folds(
        [worst[name][0] for name in names], seed=seed, groups=[worst[name][1] for name in names], ids=names
    )
    fold_of = dict(zip(names, folds.tolist(), strict=True))
    return np.array([fold_of[unit] for unit in units], dtype=np.int64)
