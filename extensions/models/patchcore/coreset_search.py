"""Farthest-first traversal with bounds that are brought up to date only where they decide something."""

import time
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch

from extensions.models.common.threads import one_thread_each
from extensions.models.patchcore.coreset_screen import Screen, principal_directions
from extensions.runtime.progress import progress_bar

BLOCK_ENTRIES = 2**20  # products held at once by one thread
BLOCK_ROWS = 512
PAIRS = 4096  # exact distances computed at once by one thread
FEW = 1 / 64  # share of pairs up to which exact distances cost less than whole products
LARGEST_GROUP = 2**15  # points whose features are held in memory
SAMPLE = 8192  # points that the shift and the directions come from
THREADED = 2**23  # products in a round from which threads gain more than passing on the interpreter's lock costs
TIDY_EVERY = 16  # centers after which points that fell behind leave the leading group
SAVE_EVERY = 60.0  # s


class Checkpoint(Protocol):
    """Where an unfinished selection is kept, for a process that takes over from one that was stopped."""

    def load(self) -> np.ndarray | None:
        """What `save` was last given for the same features and first center, or None."""

    def save(self, state: np.ndarray) -> None:
        """Keep the state, (n_bytes,) uint8."""

    def reached(self, n_selected: int) -> None:
        """So many are selected; for whoever keeps the time."""

    def discard(self) -> None:
        """Forget it: the selection is finished."""


class FarthestFirst:
    """Greedy k-center without most of its distances, and with its result to the last bit.

    A point's distance to its nearest center only shrinks, so an old one is an upper bound (the lazy greedy of
    Minoux, 1978). The points with the largest bounds, the leading group, are brought up to date: a matrix product
    with the centers they have not met gives squared distances up to a rounding error that is bounded below, and
    only the pairs that may hold the minimum are computed exactly. Where few directions hold most of the variance,
    a product along these rules out most pairs before, at a fraction of the cost (see `Screen`). Within the group
    every new center is measured exactly until all of it falls behind the best bound outside; then the next group
    is drawn. A point close to its center never meets the later ones.

    Exact distances come from `torch.linalg.norm` over rows, whose bits do not depend on the other rows.

    Args:
        features: (n_points, n_channels) float32 or float64 on the CPU, contiguous, finite, far from overflow.
        n_centers: How many to select, at most n_points.
        first: Index of the point to start with.
    """

    def __init__(self, features: torch.Tensor, n_centers: int, first: int) -> None:
        n_points, n_channels = features.shape
        self.features = features
        self.rows = features.numpy()
        # Near the origin the products lose fewer digits; any shift is right, so a sample's mean will do.
        sample = self.rows[:: max(1, n_points // SAMPLE)]
        self.shift = sample.mean(axis=0)
        directions = principal_directions(sample)
        self.screen = None if directions is None else Screen(directions.astype(self.rows.dtype), n_centers)
        self.selected = np.zeros(n_centers, np.int64)
        self.n_selected = 0
        self.squares = np.empty(n_centers, self.rows.dtype)  # |center - shift|²
        self.factors = np.empty((n_centers, n_channels + 1), self.rows.dtype)  # (shift - center, about square / 2)
        self.bounds = np.empty(n_points, self.rows.dtype)  # upper bound on the distance to the nearest center
        self.n_seen = np.ones(n_points, np.int64)  # how many centers, in order, the bound takes into account
        self.n_leading = min(max(2048, n_points // 32), LARGEST_GROUP)
        # A squared distance from a product of d + 1 terms is off by at most (3d + 7) u S, and from the exact kernel by
        # (2d + 12) u S, for unit roundoff u and S = |point|² + |center|² (Higham, Accuracy and Stability, 2002, §3).
        limits = np.finfo(self.rows.dtype)
        self.relative_error = self.rows.dtype.type(6 * (n_channels + 16) * limits.eps / 2)
        self.underflow = self.rows.dtype.type(4 * (n_channels + 16) * limits.tiny)
        self._select(first)

    def run(self, *, progress: bool = False, checkpoint: Checkpoint | None = None) -> np.ndarray:
        """Select all centers; (n_centers,) int64 indices in the order of selection."""
        n_centers = len(self.selected)
        saved = time.monotonic()
        with (
            one_thread_each() as pool,
            progress_bar(
                total=n_centers, title="Selecting coreset", unit="patch", hidden=not progress, leave=True
            ) as bar,
        ):
            if checkpoint is None or not self._restore(checkpoint.load()):
                self._measure_first()
            while self.n_selected < n_centers and self.bounds.max() > 0:
                group, floor = self._leading()
                blocks = list(self._blocks(group))
                n_products = sum(len(block) * (self.n_selected - self.n_seen[block[0]]) for block in blocks)
                list((map if n_products < THREADED else pool.map)(self._refresh, blocks))
                self._select_within(group, *floor)
                bar.update(self.n_selected - bar.n)
                if checkpoint is not None:
                    checkpoint.reached(self.n_selected)
                if checkpoint is not None and time.monotonic() - saved > SAVE_EVERY:
                    checkpoint.save(self._state())
                    saved = time.monotonic()
            # All that is left are copies of centers: every distance is 0, and the lowest index wins for good.
            bar.update(n_centers - bar.n)
        if checkpoint is not None:
            checkpoint.discard()
        return self.selected

    def _state(self) -> np.ndarray:
        """All that a later process cannot compute at once, as bytes."""
        parts = (np.array([self.n_selected]), self.selected[: self.n_selected], self.n_seen, self.bounds)
        return np.concatenate([part.view(np.uint8) for part in parts])

    def _restore(self, state: np.ndarray | None) -> bool:
        """Take over a state; False where there is none, or none of as many points."""
        if state is None or len(state) < 8:
            return False
        n_selected = int(state[:8].view(np.int64)[0])
        sizes = (8, 8 * n_selected, self.n_seen.nbytes, self.bounds.nbytes)
        if len(state) != sum(sizes):
            return False
        _, selected, n_seen, bounds = np.split(state, np.cumsum(sizes)[:-1])
        for index in selected.view(np.int64)[1 : len(self.selected)]:
            self._select(int(index))
        self.n_seen[:] = n_seen.view(np.int64)
        self.bounds[:] = bounds.view(self.bounds.dtype)
        return True

    def _select(self, index: int) -> None:
        center = self.rows[index] - self.shift
        square = center @ center
        self.selected[self.n_selected] = index
        self.squares[self.n_selected] = square
        np.negative(center, out=self.factors[self.n_selected, :-1])
        self.factors[self.n_selected, -1] = square * (1 - self.relative_error) / 2  # the center's part of the error
        if self.screen is not None:
            self.screen.add(self.n_selected, center, square)
        self.n_selected += 1

    def _measure_first(self) -> None:
        for start in range(0, len(self.rows), PAIRS):
            rows = self.features[start : start + PAIRS] - self.features[self.selected[0]]
            self.bounds[start : start + PAIRS] = torch.linalg.norm(rows, dim=1).numpy()

    def _leading(self) -> tuple[np.ndarray, tuple[float, int]]:
        """Indices of the largest bounds, ascending, and the last of them as (bound, index), lower index first."""
        if len(self.bounds) <= self.n_leading:
            return np.arange(len(self.bounds)), (-1.0, 0)
        smallest = np.partition(self.bounds, -self.n_leading)[-self.n_leading]
        tied = np.flatnonzero(self.bounds == smallest)
        above = np.flatnonzero(self.bounds > smallest)
        tied = tied[: self.n_leading - len(above)]
        return np.sort(np.concatenate([above, tied])), (smallest, tied[-1])

    def _blocks(self, group: np.ndarray) -> Iterator[np.ndarray]:
        """The group's points that miss centers, in blocks of points that miss about the same ones."""
        n_seen = self.n_seen[group]
        order = np.argsort(n_seen, kind="stable")
        stale = group[order[n_seen[order] < self.n_selected]]
        start = 0
        while start < len(stale):
            n_missing = self.n_selected - self.n_seen[stale[start]]
            size = max(16, min(BLOCK_ROWS, BLOCK_ENTRIES // n_missing))
            yield stale[start : start + size]
            start += size

    def _refresh(self, points: np.ndarray) -> None:
        """Bring the bounds of some points up to date with all centers."""
        left = np.ones((len(points), self.factors.shape[1]), self.rows.dtype)
        np.subtract(self.rows.take(points, axis=0), self.shift, out=left[:, :-1])
        squares = np.einsum("ij,ij->i", left[:, :-1], left[:, :-1])
        if self.screen is None or not self._screened(self.screen, points, left[:, :-1], squares):
            self._multiplied(points, left, squares)
        self.n_seen[points] = self.n_selected

    def _screened(self, screen: Screen, points: np.ndarray, shifted: np.ndarray, squares: np.ndarray) -> bool:
        """Measure the pairs that the screen lets through; False where they are too many, and some are not measured."""
        n_seen = self.n_seen[points[0]]
        left = screen.project(shifted)
        products = left @ screen.factors[n_seen : self.n_selected].T  # (n, n_missing)
        column = products.argmin(axis=1)
        each = np.arange(len(points))
        hopeful = products[each, column] <= screen.reach(left, squares, self.bounds[points])
        self._shrink(points[hopeful], self.selected[n_seen + column[hopeful]])
        products[each, column] = np.inf  # measured
        reach = np.where(hopeful, screen.reach(left, squares, self.bounds[points]), -np.inf).astype(products.dtype)
        let_through = products <= reach[:, None]
        if np.count_nonzero(let_through) > FEW * products.size:
            return False
        row, column = _places(let_through)
        self._shrink(points[row], self.selected[n_seen + column])
        return True

    def _multiplied(self, points: np.ndarray, left: np.ndarray, squares: np.ndarray) -> None:
        """Measure the pairs that may hold a point's minimum, by products of all channels."""
        n_seen = self.n_seen[points[0]]
        # NumPy's product: torch's may be told to round its inputs (set_float32_matmul_precision).
        # (n, n_missing): (lower bound on distance² - square) / 2, but for the point's part of the error.
        products = left @ self.factors[n_seen : self.n_selected].T
        error = self.relative_error * squares + self.underflow
        column = products.argmin(axis=1)
        least = products[np.arange(len(points)), column]
        reach = np.minimum(
            least + self.relative_error * self.squares[n_seen + column] + error,
            (self.bounds[points] ** 2 - squares + error) / 2,
        )
        hopeful = np.flatnonzero(least <= reach)
        row, column = _places(products[hopeful] <= reach[hopeful, None])
        self._shrink(points[hopeful[row]], self.selected[n_seen + column])

    def _shrink(self, points: np.ndarray, centers: np.ndarray) -> None:
        """Lower the bounds of points to their exact distances from centers, pair by pair."""
        for start in range(0, len(points), PAIRS):
            pair = points[start : start + PAIRS]
            rows = self.features.index_select(0, torch.from_numpy(pair))
            rows -= self.features.index_select(0, torch.from_numpy(centers[start : start + PAIRS]))
            np.minimum.at(self.bounds, pair, torch.linalg.norm(rows, dim=1).numpy())

    def _select_within(self, group: np.ndarray, bound: float, last: int) -> None:
        """Select from a group that is up to date until its best falls behind (bound, last)."""
        group, rows, nearest = self._tidied(group, bound, last)
        start = self.n_selected
        while self.n_selected < len(self.selected) and len(group):
            best = int(nearest.numpy().argmax())
            farthest = nearest[best].item()
            if farthest < bound or farthest == 0 or (farthest == bound and group[best] > last):
                break
            self._select(int(group[best]))
            torch.minimum(nearest, torch.linalg.norm(rows - rows[best], dim=1), out=nearest)
            if (self.n_selected - start) % TIDY_EVERY == 0:
                self._store(group, nearest)
                group, rows, nearest = self._tidied(group, bound, last)
        self._store(group, nearest)

    def _tidied(self, group: np.ndarray, bound: float, last: int) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
        """The members that are not behind (bound, last): indices, features and distances."""
        bounds = self.bounds[group]
        group = group[(bounds > bound) | ((bounds == bound) & (group <= last))]
        index = torch.from_numpy(group)
        return group, self.features.index_select(0, index), torch.from_numpy(self.bounds[group])

    def _store(self, group: np.ndarray, nearest: torch.Tensor) -> None:
        self.bounds[group] = nearest.numpy()
        self.n_seen[group] = self.n_selected


def _places(true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of what is true, as np.nonzero finds them, several times sooner."""
    return np.divmod(np.flatnonzero(true), true.shape[1])
