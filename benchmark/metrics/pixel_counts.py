"""How many pixels of each image have which score, in bins that all images share, so that images can be drawn again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmark.metrics.histogram import sortable

MAX_OF_IMAGE = 4096
MAX_ENTRIES = 2_000_000
PIECE = 2**22  # pixels of a large image that are counted at once


@dataclass(frozen=True)
class CountTable:
    """The counts of N images in G bins that ascend in score: M entries, those of an image one after the other.

    Attributes:
        starts: ``(N + 1,)``, where the entries of each image start.
        bins: ``(M,)`` bin of an entry.
        negatives: ``(M,)`` normal pixels in it.
        positives: ``(M,)`` anomalous pixels in it.
        overlap: ``(M,)`` float32: these, each divided by the pixels of its region.
        n_bins: G.
        rows: ``(N,)`` place of each image in the test set.
        folds: ``(N,)``, 0 or 1.
        n_positives: ``(N,)`` anomalous pixels.
    """

    starts: np.ndarray
    bins: np.ndarray
    negatives: np.ndarray
    positives: np.ndarray
    overlap: np.ndarray
    n_bins: int
    rows: np.ndarray
    folds: np.ndarray
    n_positives: np.ndarray

    @property
    def images(self) -> np.ndarray:
        """Index of the image of each entry, ``(M,)``."""
        return np.repeat(np.arange(len(self.rows)), np.diff(self.starts))


@dataclass
class _Image:
    row: int
    fold: int
    keys: np.ndarray  # (M,) uint32, ascending
    counts: np.ndarray  # (2, M) int32: normal, anomalous
    overlap: np.ndarray | None  # (M,) float32; None for a normal image

    def drop(self, bits: int) -> None:
        """Merge neighboring bins."""
        keys = self.keys >> np.uint32(bits)
        first = np.flatnonzero(np.diff(keys, prepend=keys[0] ^ 1))
        self.keys, self.counts = keys[first], np.add.reduceat(self.counts, first, axis=1)
        if self.overlap is not None:
            self.overlap = np.add.reduceat(self.overlap, first)


class PixelCounts:
    """Counts of pixels by image, sparse, in bounded memory and one pass.

    Bins are those of :class:`benchmark.metrics.histogram.ScoreHistogram`: a float32 as an integer of the same order,
    without its lowest ``dropped_bits``. As many are dropped as it takes for no image to fill more than 4,096 bins and
    all together no more than 2 million. So the bins do not depend on the order of images.

    Memory: 16 bytes an entry, at most 32 MB, some 130 MB in passing where they are brought together, and 40 bytes a
    pixel of one image, of at most 4 million of them.
    """

    def __init__(self) -> None:
        self.dropped_bits = 0
        self._images: list[_Image] = []
        self._n_entries = 0

    def add(self, scores: np.ndarray, mask: np.ndarray, *, row: int, fold: int, region_sizes: np.ndarray) -> None:
        """Count the pixels of one image.

        Args:
            scores: ``(P,)`` float32, finite.
            mask: ``(P,)`` bool, true where anomalous.
            row: Place of the image in the test set.
            fold: 0 or 1.
            region_sizes: Pixels of its region for each anomalous pixel, in their order; empty for a normal image.
        """
        pieces = [slice(start, start + PIECE) for start in range(0, max(1, len(scores)), PIECE)]
        ranked = [self._ranked(scores[piece]) for piece in pieces[:1]]  # of the others in turn: they take memory
        distinct = ranked[0][0]
        for piece in pieces[1:]:
            distinct = np.union1d(distinct, self._ranked(scores[piece])[0])
        if bits := _too_many_bits(distinct):
            self._drop(bits)
            distinct, ranked = np.unique(distinct >> np.uint32(bits)), []
        n = len(distinct)
        counts, n_seen = np.zeros((2, n), dtype=np.int32), 0
        overlap = np.zeros(n) if len(region_sizes) else None
        for number, piece in enumerate(pieces):
            own, where = ranked[number] if number < len(ranked) else self._ranked(scores[piece])
            if len(own) < n:
                where = np.searchsorted(distinct, own)[where]
            counts[0] += np.bincount(where, minlength=n).astype(np.int32)
            if overlap is not None:
                of_defects = where[mask[piece]]
                sizes = region_sizes[n_seen : n_seen + len(of_defects)]
                overlap += np.bincount(of_defects, 1 / sizes, minlength=n)
                counts[1] += np.bincount(of_defects, minlength=n).astype(np.int32)
                n_seen += len(of_defects)
        counts[0] -= counts[1]
        self._images.append(
            _Image(row, fold, distinct, counts, None if overlap is None else overlap.astype(np.float32))
        )
        self._n_entries += n
        while self._n_entries > MAX_ENTRIES:
            self._drop(1)

    def _ranked(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The bins of some scores, ascending, and the place of each score's bin among them."""
        return _ranked(sortable(scores) >> np.uint32(self.dropped_bits))

    def table(self) -> CountTable:
        """All counts, images in order of their rows."""
        images = sorted(self._images, key=lambda image: image.row)
        lengths = [len(image.keys) for image in images]
        empty = np.zeros((2, 0), np.int32)
        distinct, bins = _ranked(np.concatenate([np.zeros(0, np.uint32), *(image.keys for image in images)]))
        counts = np.concatenate([empty, *(image.counts for image in images)], axis=1)
        overlap = [
            np.zeros(n, np.float32) if one.overlap is None else one.overlap
            for one, n in zip(images, lengths, strict=True)
        ]
        return CountTable(
            starts=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
            bins=bins,
            negatives=counts[0],
            positives=counts[1],
            overlap=np.concatenate([np.zeros(0, np.float32), *overlap]),
            n_bins=len(distinct),
            rows=np.array([image.row for image in images], dtype=np.int64),
            folds=np.array([image.fold for image in images], dtype=np.int64),
            n_positives=np.array([int(image.counts[1].sum()) for image in images], dtype=np.int64),
        )

    def _drop(self, bits: int) -> None:
        self.dropped_bits += bits
        for image in self._images:
            image.drop(bits)
        self._n_entries = sum(len(image.keys) for image in self._images)


def _ranked(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct keys in ascending order and the rank of each; as np.unique, in linear time where keys lie close."""
    if not len(keys):
        return keys, np.zeros(0, dtype=np.intp)
    low = keys.min()
    span = int(keys.max() - low) + 1
    if span > 4 * len(keys) + 2**16:
        distinct, where = np.unique(keys, return_inverse=True)
        return distinct, where.ravel()
    offsets = keys - low
    used = np.flatnonzero(np.bincount(offsets, minlength=span))
    rank = np.zeros(span, dtype=np.intp)
    rank[used] = np.arange(len(used))
    return used.astype(np.uint32) + low, rank[offsets]


def _too_many_bits(distinct: np.ndarray) -> int:
    """How many bits to drop for these keys to be few enough for one image."""
    bits = 0
    while np.count_nonzero(np.diff(distinct >> np.uint32(bits))) >= MAX_OF_IMAGE:
        bits += 1
    return bits
