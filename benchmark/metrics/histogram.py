"""Counts of float32 scores in bins of equal relative width, as narrow as a fixed memory allows."""

from __future__ import annotations

import numpy as np

PAGE_BITS = 15
PAGE = 1 << PAGE_BITS
BUFFER_PIXELS = 2_000_000


class ScoreHistogram:
    """How often each score occurs, in several channels, in bounded memory and one pass.

    A float32 is read as an integer that sorts like the float (Herf 2001, Radix tricks,
    http://stereopsis.com/radix.html); a bin is such an integer without its lowest ``dropped_bits``. Bins are kept in
    pages of 32,768 neighbors, made where scores fall. When there would be more than ``max_pages``, one more bit is
    dropped, for old counts and new. So the bins, and every count, depend on the scores alone and not on their order or
    batches.

    Scores within one power of two need 256 pages to keep all of float32's 23 mantissa bits. With 32 pages, scores that
    span 4 powers of two keep 18, 32 powers of two keep 15, and all that float32 can hold keep 11.

    Memory: at most ``max_pages * 262,144 * channels`` bytes of counts (42 MB for 32 pages and 5 channels), as much
    again in passing, and 16 MB of waiting scores plus the last array given.

    Args:
        channels: Number of separate counts a bin.
        max_pages: Limit on the pages.
    """

    def __init__(self, channels: int, *, max_pages: int = 32) -> None:
        self.channels = channels
        self.max_pages = max_pages
        self.dropped_bits = 0
        self._pages: list[int] = []  # page number of each row of _counts
        self._counts = np.zeros((0, channels, PAGE), dtype=np.int64)
        self._waiting: list[np.ndarray] = []
        self._n_waiting = 0
        self._point()

    def add(self, scores: np.ndarray, channels: np.ndarray) -> None:
        """Count each score once in its channel.

        Args:
            scores: ``(N,)`` float32, finite.
            channels: ``(N,)`` integers.
        """
        positions = self._positions(scores)
        positions += channels.astype(np.int64) << PAGE_BITS
        self._waiting.append(positions)
        self._n_waiting += len(positions)
        if self._n_waiting >= BUFFER_PIXELS:
            self._flush()

    def add_weights(self, scores: np.ndarray, *, channel: int, weights: np.ndarray) -> None:
        """Add a whole number for each score; integers, so that the order of addition does not matter.

        Args:
            scores: ``(N,)`` float32, finite.
            channel: Where to add.
            weights: ``(N,)`` int64.
        """
        positions = self._positions(scores) + channel * PAGE
        np.add.at(self._counts.reshape(-1), positions, weights)

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """The bins that hold something, in ascending order of score.

        Returns:
            ``(K,)`` float32 lowest score of each bin and ``(channels, K)`` int64 counts.
        """
        self._flush()
        order = np.argsort(self._pages)
        edges, counts = [], []
        for row in order:
            used = np.flatnonzero(self._counts[row].any(axis=0))
            bins = (self._pages[row] << PAGE_BITS) + used
            edges.append(_from_sortable((bins << self.dropped_bits).astype(np.uint32)))
            counts.append(self._counts[row][:, used])
        if not edges:
            return np.zeros(0, dtype=np.float32), np.zeros((self.channels, 0), dtype=np.int64)
        return np.concatenate(edges), np.concatenate(counts, axis=1)

    def _positions(self, scores: np.ndarray) -> np.ndarray:
        """Where channel 0 of each score's bin is in the flat counts."""
        keys = sortable(scores)
        pages = keys >> np.uint32(PAGE_BITS + self.dropped_bits)
        first = self._first[pages]
        if len(first) and first.min() < 0:
            self._make_room(np.unique(keys >> np.uint32(PAGE_BITS)))
            first = self._first[keys >> np.uint32(PAGE_BITS + self.dropped_bits)]
        first += (keys >> np.uint32(self.dropped_bits)) & np.uint32(PAGE - 1)
        return first

    def _flush(self) -> None:
        """Count the waiting positions."""
        flat = self._counts.reshape(-1)
        if self._waiting:
            flat += np.bincount(np.concatenate(self._waiting), minlength=flat.size)
        self._waiting, self._n_waiting = [], 0

    def _make_room(self, finest: np.ndarray) -> None:
        """Make the pages for ``finest`` (page numbers as if no bit were dropped), dropping bits as needed."""
        wanted = np.union1d(finest.astype(np.int64) >> self.dropped_bits, np.asarray(self._pages, dtype=np.int64))
        while len(wanted) > self.max_pages:
            wanted = np.unique(wanted >> 1)
            self._drop_bit()
        new = sorted(set(wanted.tolist()) - set(self._pages))
        self._pages += new
        self._counts = np.concatenate([self._counts, np.zeros((len(new), self.channels, PAGE), dtype=np.int64)])
        self._point()

    def _drop_bit(self) -> None:
        """Merge neighboring bins, and so two pages into one."""
        self._flush()
        pages = sorted({page >> 1 for page in self._pages})
        merged = np.zeros((len(pages), self.channels, PAGE), dtype=np.int64)
        for page, counts in zip(self._pages, self._counts, strict=True):
            side = slice(0, PAGE // 2) if page % 2 == 0 else slice(PAGE // 2, PAGE)
            merged[pages.index(page >> 1), :, side] = counts.reshape(self.channels, PAGE // 2, 2).sum(axis=-1)
        self.dropped_bits += 1
        self._pages, self._counts = pages, merged

    def _point(self) -> None:
        """For every possible page: where its first bin is in the flat counts, -1 where there is no page."""
        self._first = np.full(1 << (32 - PAGE_BITS - self.dropped_bits), -1, dtype=np.int64)
        self._first[self._pages] = np.arange(len(self._pages), dtype=np.int64) * (self.channels * PAGE)


def sortable(scores: np.ndarray) -> np.ndarray:
    """Float32 to uint32 of the same order, any shape."""
    bits = (scores + np.float32(0)).view(np.uint32)  # -0.0 becomes 0.0
    negative = (bits.view(np.int32) >> 31).view(np.uint32)
    return bits ^ (negative | np.uint32(0x80000000))


def _from_sortable(keys: np.ndarray) -> np.ndarray:
    """Uint32 back to float32."""
    is_positive = keys >> np.uint32(31) != 0
    return np.where(is_positive, keys ^ np.uint32(0x80000000), ~keys).astype(np.uint32).view(np.float32)
