"""Seeded splits of a table of images; copies of one image stay on one side."""

import hashlib
from collections.abc import Sequence

import numpy as np


def held_out(contents: Sequence[str], ratio: float, *, seed: int, labels: Sequence[int] | None = None) -> np.ndarray:
    """Choose about ``ratio`` of the rows at random.

    Args:
        contents: what each row's image holds (a hash): rows with equal contents are chosen together or not at all.
        ratio: part to choose, 0 to 1; 0 chooses nothing.
        seed: the same seed and contents in the same order give the same choice in every process.
        labels: when given, ``ratio`` holds for each label on its own.

    Returns:
        (N,) bool, true for the chosen rows.
    """
    chosen = np.zeros(len(contents), dtype=bool)
    label_of = np.zeros(len(contents), dtype=int) if labels is None else np.asarray(labels, dtype=int)
    for label in np.unique(label_of):
        rows_of: dict[str, list[int]] = {}
        for row in np.flatnonzero(label_of == label).tolist():
            rows_of.setdefault(contents[row], []).append(row)
        wanted = round(ratio * int((label_of == label).sum()))
        groups = list(rows_of.values())
        for index in np.random.default_rng([seed, int(label)]).permutation(len(groups)):
            if chosen[label_of == label].sum() + len(groups[index]) <= wanted:
                chosen[groups[index]] = True
    return chosen


def few(contents: Sequence[str], k: int, *, seed: int) -> list[int]:
    """Choose ``k`` rows whose images differ, at random.

    Args:
        contents: what each row's image holds (a hash): of rows with equal contents the first one stands for all.
        k: how many; all where there are fewer.
        seed: the same seed chooses the same images in every process, and what a smaller ``k`` chooses a larger one
            chooses, too. Images that are added take the place of some, the others stay.

    Returns:
        Row numbers, ascending.
    """
    first = {content: row for row, content in reversed(list(enumerate(contents)))}
    return sorted(first[content] for content in sorted(first, key=lambda content: content_hash_rank(content, seed))[:k])


def spread(units: Sequence[str], n: int, *, seed: int) -> list[int]:
    """Choose ``n`` rows of as many units as possible: one of each before a second of any.

    Args:
        units: what each row belongs to, such as its part.
        n: how many; all where there are fewer.
        seed: of the order of the units; within one the first rows come first.

    Returns:
        Row numbers, ascending.
    """
    place: dict[str, int] = {}
    keys = []
    for row, unit in enumerate(units):
        place[unit] = place.get(unit, -1) + 1
        keys.append((place[unit], content_hash_rank(unit, seed), row))
    return sorted(row for *_, row in sorted(keys)[:n])


def dealt(contents: Sequence[str], n_folds: int, *, seed: int) -> np.ndarray:
    """Deal the rows into folds of nearly equal size, at random; rows with equal contents go into one.

    Args:
        contents: what each row's image holds (a hash).
        n_folds: at most the number of contents that differ.
        seed: of the deal, which does not depend on the order of the rows.

    Returns:
        (N,) int, 0 to ``n_folds`` - 1.
    """
    ranked = sorted(set(contents), key=lambda content: content_hash_rank(content, seed))
    fold_of = {content: place % n_folds for place, content in enumerate(ranked)}
    return np.array([fold_of[content] for content in contents], dtype=int)


def content_hash_rank(content: str, seed: int) -> str:
    """Where a seeded draw puts this content, as sorted hashes: which others there are does not change it."""
    return hashlib.sha256(f"{seed} {content}".encode()).hexdigest()
