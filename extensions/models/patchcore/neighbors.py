"""The nearest rows of a memory bank on the CPU: brute force's answers without most of its products."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch

from extensions.models.common.threads import one_thread_each
from extensions.models.patchcore.heads import Heads

CHUNK_ENTRIES = 2**23  # numbers that one thread holds for the queries of a chunk, 32 MB
BLOCK_ROWS = 512
BLOCK_COLUMNS = 2048  # a block of products is 4 MB and stays in a cache
PAIRS = 1024  # exact distances computed at once by one thread
PENDING = 2**18  # pairs that wait for it
FEWEST_ROWS = 256  # of a bank that is worth groups
DENSE = 0.4  # share of the bank above which whole blocks are faster than what the groups leave of them
HOPEFUL = 0.07  # share of a block's pairs above which its whole product is faster than those of these pairs


class NearestNeighbors:
    """Exact Euclidean nearest neighbors in a bank of rows.

    A matrix product gives squared distances up to a rounding error that is bounded; the rows that may be nearest by
    it are measured again exactly, from the differences, so nothing cancels near distance zero. The bank is cut into
    groups around centers; a query looks at the group of its nearest center first and then only into those that the
    triangle inequality leaves possible (Fukunaga and Narendra, "A Branch and Bound Algorithm for Computing k-Nearest
    Neighbors", 1975, https://doi.org/10.1109/T-C.1975.224297). Where that leaves most of the bank, blocks of the whole
    bank are multiplied instead. What is multiplied are the heads of the rows, the few directions in which the bank
    spreads most, which bound a distance from below; of the pairs that they leave possible, mostly less than one in a
    hundred, the product is computed in full. Nothing is random.

    Memory: a copy of the bank, and while it searches at most about 100 MB a thread and 64 bytes a query.

    Args:
        bank: (n_rows, n_channels) float32, finite, far from overflow; see `is_searchable`. Must stay as it is.

    Example:
        >>> distances, indices = NearestNeighbors(bank).nearest(queries)
    """

    def __init__(self, bank: torch.Tensor) -> None:
        self.rows = bank
        rows = bank.clone().numpy()  # a tensor that shares its memory with NumPy could not be resized any more
        kept, copies = _without_copies(rows)
        rows = rows[kept]
        n_channels = bank.shape[1]
        # Near the origin the products lose fewer digits.
        self.shift = rows.mean(axis=0)
        # A product of d + 1 terms and the exact kernel together are off by less than this share of |x|² + |y|²
        # (Higham, Accuracy and Stability, 2002, §3).
        self.relative_error = np.float32(6 * (n_channels + 16) * np.finfo(np.float32).eps / 2)
        rows -= self.shift
        centers, group = _groups(rows)
        order = np.argsort(group, kind="stable")
        self.columns = np.argsort(order)[copies]  # (len(bank),) where the factors of each row are
        self.indices = kept[order]  # (n_rows,) of the factors, ascending within a group
        self.starts = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=len(centers)))])
        to_center = torch.linalg.norm(torch.from_numpy(rows - centers[group]), dim=1).numpy()
        self.radii = np.zeros(len(centers), np.float32)
        np.maximum.at(self.radii, group, to_center * (1 + self.relative_error))
        rows = rows[order]
        self.factors = _factors(rows)  # (n_rows, n_channels + 1)
        self.heads = Heads.of(rows, relative_error=float(self.relative_error))
        self.head_factors = self.factors if self.heads is None else self.heads.factors(rows)
        self.center_factors = _factors(centers)
        self.largest_square = 2 * max(self.factors[:, -1].max(), self.center_factors[:, -1].max())

    def nearest(self, queries: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Find the nearest row of the bank, the first one when several are equally near.

        Args:
            queries: (n, n_channels) float32 on the CPU.

        Returns:
            (n,) float32 distances and (n,) int64 indices into the bank. Queries that are not finite get NaN and 0.
        """
        n_queries, n_channels = queries.shape
        distances, indices = np.empty(n_queries, np.float32), np.empty(n_queries, np.int64)
        largest = max(64, CHUNK_ENTRIES // (n_channels + 1 + 4 * len(self.radii)))

        def search(chunk: slice) -> None:
            distances[chunk], indices[chunk] = self._nearest(queries[chunk])

        with one_thread_each() as pool:
            list(pool.map(search, _even_chunks(n_queries, largest)))
        return torch.from_numpy(distances), torch.from_numpy(indices)

    def k_nearest(self, queries: torch.Tensor, n_neighbors: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Find the nearest rows, nearest first and the lower index first when equally near; for few queries.

        Args:
            queries: (n, n_channels) float32 on the CPU.
            n_neighbors: How many, at most the rows of the bank.

        Returns:
            (n, n_neighbors) float32 distances and int64 indices into the bank. Queries that are not finite get NaN
            and the first indices.
        """
        distances = np.full((len(queries), n_neighbors), np.nan, np.float32)
        indices = np.tile(np.arange(n_neighbors), (len(queries), 1))
        size = max(1, BLOCK_ROWS * BLOCK_COLUMNS // len(self.rows))

        def search(chunk: slice) -> None:
            for start in range(chunk.start, chunk.stop, size):
                block = slice(start, min(start + size, chunk.stop))
                self._k_nearest(queries[block], distances[block], indices[block])

        with one_thread_each() as pool:
            list(pool.map(search, _even_chunks(len(queries), max(1, len(queries)))))
        return torch.from_numpy(distances), torch.from_numpy(indices)

    def _k_nearest(self, queries: torch.Tensor, distances: np.ndarray, indices: np.ndarray) -> None:
        n_neighbors = distances.shape[1]
        search = _Search(self, queries)
        products = (search.left @ self.factors.T)[:, self.columns]  # (n, n_rows) of the bank, equal ones too
        limits = np.partition(products, n_neighbors - 1, axis=1)[:, n_neighbors - 1] + search.slack
        for number in np.setdiff1d(np.arange(len(queries)), search.odd):
            near = np.flatnonzero(products[number] <= limits[number])
            exact = _measured(queries, self.rows, np.full(len(near), number), near)
            first = np.argsort(exact, kind="stable")[:n_neighbors]
            distances[number], indices[number] = exact[first], near[first]

    def _nearest(self, queries: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        search = _Search(self, queries)
        if len(self.radii) == 1:
            search.everywhere()
        else:
            search.by_groups()
        return search.result()


class _Search:
    """The search of one chunk of queries: what is known so far of their nearest rows."""

    def __init__(self, bank: NearestNeighbors, queries: torch.Tensor) -> None:
        self.bank = bank
        self.queries = queries
        n_queries, n_channels = queries.shape
        self.left = np.ones((n_queries, n_channels + 1), np.float32)
        np.subtract(queries.numpy(), bank.shift, out=self.left[:, :-1])
        with np.errstate(over="ignore"):
            self.squares = np.einsum("ij,ij->i", self.left[:, :-1], self.left[:, :-1])
        self.odd = np.flatnonzero(~np.isfinite(self.squares * 4))
        self.left[self.odd, :-1] = self.squares[self.odd] = 0
        # Half squared distances, less the query's half square, are off by at most half of this.
        self.slack = bank.relative_error * (self.squares + bank.largest_square) + np.finfo(np.float32).tiny
        # Times the bank's head factors a lower bound of half the squared distance, less the query's half square.
        self.left_heads = self.left if bank.heads is None else bank.heads.left(self.left[:, :-1], self.squares)
        self.best = np.full(n_queries, np.inf, np.float32)  # the least of them so far
        self.distances = np.full(n_queries, np.inf, np.float32)
        self.indices = np.full(n_queries, np.iinfo(np.int64).max, np.int64)
        self.pending: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # query, column, product
        self.n_pending = 0
        # Space for the blocks, once: fresh memory costs more than a small product.
        self.taken = np.empty((BLOCK_ROWS, self.left_heads.shape[1]), np.float32)
        self.products = np.empty(BLOCK_ROWS * BLOCK_COLUMNS, np.float32)

    def by_groups(self) -> None:
        """Look into the nearest center's group, then into all groups that may hold something nearer."""
        bank = self.bank
        low = bank.center_factors @ self.left.T  # (n_groups, n)
        own = low.argmin(axis=0)
        low += self.squares / 2
        low *= 2
        low -= self.slack
        np.sqrt(np.maximum(low, 0, out=low), out=low)
        low -= bank.radii[:, None]  # lower bound on the distance to any row of the group
        order = np.argsort(own, kind="stable")
        ends = np.cumsum(np.bincount(own, minlength=len(low)))
        for group, rows in enumerate(np.split(order, ends[:-1])):
            self._look(rows, bank.starts[group], bank.starts[group + 1])
        low[own, np.arange(len(own))] = np.inf
        reach = self._reach(slice(None))
        sizes = np.diff(bank.starts)
        if (low <= reach).sum(axis=1) @ sizes > DENSE * len(self.left) * sizes.sum():
            self.everywhere()
            return
        for group in range(len(low)):
            rows = np.flatnonzero(low[group] <= reach)
            self._look(rows, bank.starts[group], bank.starts[group + 1])
            reach[rows] = self._reach(rows)

    def everywhere(self) -> None:
        """Look at the whole bank, block by block."""
        self._look(np.arange(len(self.left)), 0, len(self.bank.factors))

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Distances and indices of the nearest rows."""
        self._measure()
        self.distances[self.odd] = np.nan
        self.indices[self.odd] = 0
        return self.distances, self.indices

    def _reach(self, rows: np.ndarray | slice) -> np.ndarray:
        """Upper bound on the distance to the nearest row."""
        return np.sqrt(np.maximum(self.squares[rows] + 2 * self.best[rows] + self.slack[rows], 0))

    def _look(self, rows: np.ndarray, start: int, stop: int) -> None:
        """Note which rows start to stop of the bank may be the nearest to these queries."""
        for first in range(0, len(rows), BLOCK_ROWS):
            block = rows[first : first + BLOCK_ROWS]
            left = self.left_heads.take(block, axis=0, out=self.taken[: len(block)], mode="clip")
            for column in range(start, stop, BLOCK_COLUMNS):
                self._compare(block, left, column, min(column + BLOCK_COLUMNS, stop))

    def _compare(self, rows: np.ndarray, left: np.ndarray, start: int, stop: int) -> None:
        if self.bank.heads is None:
            self._whole(rows, left, start, stop)
        else:
            self._by_heads(rows, left, start, stop)

    def _by_heads(self, rows: np.ndarray, left: np.ndarray, start: int, stop: int) -> None:
        """Look at lower bounds, and at whole rows where these leave a pair possible."""
        bounds = self.products[: len(rows) * (stop - start)].reshape(len(rows), -1)
        np.matmul(left, self.bank.head_factors[start:stop].T, out=bounds)
        closest = bounds.argmin(axis=1)
        hopeful = np.flatnonzero(bounds[np.arange(len(rows)), closest] <= self.best[rows] + self.slack[rows])
        if not len(hopeful):
            return
        if len(hopeful) < len(rows):
            rows, closest, bounds = rows[hopeful], closest[hopeful], bounds[hopeful]
        whole = self.left[rows]
        first = self._products(whole, np.arange(len(rows)), closest, start, stop)
        self.best[rows] = np.minimum(self.best[rows], first)
        limit = self.best[rows] + self.slack[rows]
        found = np.flatnonzero(bounds <= limit[:, None])
        if len(found) > HOPEFUL * bounds.size:
            self._whole(rows, whole, start, stop)
            return
        row, column = np.divmod(found, bounds.shape[1])
        products = self._products(whole, row, column, start, stop)
        np.minimum.at(self.best, rows[row], products)
        self._note(rows[row], start + column, products)

    def _products(self, left: np.ndarray, row: np.ndarray, column: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Products of some pairs alone: rows of `left`, ascending, and rows of the bank, counted from `start`."""
        ends = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(left)))])
        wanted = torch.sparse_csr_tensor(
            torch.from_numpy(ends), torch.from_numpy(column), torch.zeros(len(row)), (len(left), stop - start)
        )
        right = torch.from_numpy(self.bank.factors[start:stop])
        found: np.ndarray = (
            torch.sparse.sampled_addmm(wanted, torch.from_numpy(left), right.T, beta=0.0).values().numpy()
        )
        return found

    def _whole(self, rows: np.ndarray, left: np.ndarray, start: int, stop: int) -> None:
        """Look at products of whole rows."""
        products = self.products[: len(rows) * (stop - start)].reshape(len(rows), -1)
        # NumPy's product: torch's may be told to round its inputs (set_float32_matmul_precision).
        np.matmul(left, self.bank.factors[start:stop].T, out=products)
        least = products.min(axis=1)
        best = np.minimum(self.best[rows], least)
        self.best[rows] = best
        limit = best + self.slack[rows]
        hopeful = np.flatnonzero(least <= limit)
        if len(hopeful) < len(rows):
            rows, limit, products = rows[hopeful], limit[hopeful], products[hopeful]
        found = np.flatnonzero(products <= limit[:, None])
        row, column = np.divmod(found, products.shape[1])
        self._note(rows[row], start + column, products.ravel()[found])

    def _note(self, query: np.ndarray, column: np.ndarray, product: np.ndarray) -> None:
        """Pairs that may be the nearest."""
        self.pending.append((query, column, product))
        self.n_pending += len(query)
        if self.n_pending > PENDING:
            self._measure()

    def _measure(self) -> None:
        """Measure what may still be nearest exactly."""
        if not self.pending:
            return
        query, column, product = (np.concatenate(part) for part in zip(*self.pending, strict=True))
        self.pending, self.n_pending = [], 0
        left = np.flatnonzero(product <= self.best[query] + self.slack[query])
        query, index = query[left], self.bank.indices[column[left]]
        distance = _measured(self.queries, self.bank.rows, query, index)
        order = np.lexsort((index, distance, query))
        first = order[np.flatnonzero(np.diff(query[order], prepend=-1))]
        query, distance, index = query[first], distance[first], index[first]
        better = (distance < self.distances[query]) | (
            (distance == self.distances[query]) & (index < self.indices[query])
        )
        self.distances[query[better]] = distance[better]
        self.indices[query[better]] = index[better]


def is_searchable(bank: torch.Tensor) -> bool:
    """Whether `NearestNeighbors` can hold this bank: float32 on the CPU, finite, squares far from overflow."""
    if bank.device.type != "cpu" or bank.dtype != torch.float32 or bank.ndim != 2 or bank.numel() == 0:
        return False
    largest = max(abs(float(extreme)) for extreme in bank.aminmax())
    return largest**2 * bank.shape[1] * 64 < torch.finfo(bank.dtype).max  # False for what holds a NaN


def _without_copies(bank: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the rows that no earlier one equals, ascending, and for each row the place of its equal in them."""
    places: dict[bytes, int] = {}
    copies = np.array([places.setdefault(row.tobytes(), len(places)) for row in bank])
    return np.unique(copies, return_index=True)[1], copies


def _groups(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centers (n_groups, n_channels) and for each row the number of its nearest one.

    A greedy coreset begins with rows far from each other: good centers, which one step of Lloyd's k-means betters.
    """
    if len(rows) < FEWEST_ROWS:
        return rows[:1], np.zeros(len(rows), np.int64)
    centers = rows[: int(1.5 * np.sqrt(len(rows)))]
    group = _nearest_center(rows, centers)
    occupied = np.unique(group)
    sums = np.zeros_like(centers)
    np.add.at(sums, group, rows)
    centers = (sums / np.maximum(np.bincount(group, minlength=len(centers)), 1)[:, None].astype(np.float32))[occupied]
    group = _nearest_center(rows, centers)
    occupied, group = np.unique(group, return_inverse=True)
    return centers[occupied], group


def _nearest_center(rows: np.ndarray, centers: np.ndarray) -> np.ndarray:
    factors = _factors(centers)
    blocks = (rows[start : start + PAIRS] for start in range(0, len(rows), PAIRS))
    return np.concatenate([(block @ factors[:, :-1].T + factors[:, -1]).argmin(axis=1) for block in blocks])


def _factors(rows: np.ndarray) -> np.ndarray:
    """Rows r as (-r, |r|² / 2): times (x, 1) half the squared distance to x, less |x|² / 2."""
    return np.column_stack([-rows, np.einsum("ij,ij->i", rows, rows) / 2])


def _measured(left: torch.Tensor, right: torch.Tensor, left_index: np.ndarray, right_index: np.ndarray) -> np.ndarray:
    """Distances of pairs of rows from their differences; the bits do not depend on the other pairs."""
    distances = np.empty(len(left_index), np.float32)
    for start in range(0, len(left_index), PAIRS):
        rows = left.index_select(0, torch.from_numpy(left_index[start : start + PAIRS]))
        rows -= right.index_select(0, torch.from_numpy(right_index[start : start + PAIRS]))
        distances[start : start + PAIRS] = torch.linalg.norm(rows, dim=1).numpy()
    return distances


def _even_chunks(n_items: int, largest: int) -> Iterator[slice]:
    """Slices of about equal size, as many as a multiple of the threads when there is work enough."""
    n_threads = torch.get_num_threads()
    n_chunks = -(-n_items // largest)
    n_chunks = max(1, min(-(-n_chunks // n_threads) * n_threads, n_items // 64))
    edges = np.linspace(0, n_items, n_chunks + 1).astype(int)
    return (slice(start, stop) for start, stop in pairwise(edges))
