"""The nearest rows of a bank against a slow loop in double precision."""

import numpy as np
import pytest
import torch

from extensions.models.patchcore import neighbors
from extensions.models.patchcore.neighbors import NearestNeighbors, is_searchable


def spread(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(700, 24)), rng.normal(size=(500, 24))


def clustered(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    centers = 10 * rng.normal(size=(30, 12))
    rows = centers[rng.integers(30, size=1500)] + rng.normal(size=(1500, 12))
    return rows[:900], rows[900:]


def far_from_the_origin(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    rows = 1000 + rng.normal(size=(900, 16))
    return rows[:400], rows[400:]


def nearly_copies(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    bank = 10 * rng.normal(size=(600, 20))
    return bank, bank[rng.integers(600, size=300)] + 1e-5 * rng.normal(size=(300, 20))


def in_the_bank(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    bank = rng.normal(size=(600, 20))
    return bank, bank[::-1]


def copies(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    rows = rng.normal(size=(40, 8))
    return rows[rng.integers(40, size=800)], rows[rng.integers(40, size=200)]


def on_a_grid(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(3, size=(800, 6)).astype(float), rng.integers(3, size=(200, 6)).astype(float)


def all_alike(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return np.ones((400, 4)), rng.normal(size=(100, 4))


def one_row(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(1, 5)), rng.normal(size=(7, 5))


def wide(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows near a plane of 12 of 640 channels; queries near it, far from it, and rows themselves."""
    plane = rng.normal(size=(12, 640))
    rows = rng.normal(size=(380, 12)) @ plane + 0.3 * rng.normal(size=(380, 640))
    return rows[:300], np.concatenate([rows[290:350], rows[350:] + 20 * rng.normal(size=(30, 640))])


CASES = [
    wide,
    spread,
    clustered,
    far_from_the_origin,
    nearly_copies,
    in_the_bank,
    copies,
    on_a_grid,
    all_alike,
    one_row,
]


def made(case) -> tuple[torch.Tensor, torch.Tensor]:
    bank, queries = (torch.from_numpy(rows.astype(np.float32)) for rows in case(np.random.default_rng(0)))
    return bank, queries


def brute_force(bank: torch.Tensor, queries: torch.Tensor) -> np.ndarray:
    """(n, n_rows) distances; sums of a grid's squares are exact, so that ties are ties."""
    return (queries[:, None].double() - bank.double()).norm(dim=2).numpy()


@pytest.mark.parametrize("case", CASES)
def test_distances_are_those_of_brute_force_and_the_first_row_wins_ties(case):
    bank, queries = made(case)
    expected = brute_force(bank, queries)
    distances, indices = NearestNeighbors(bank).nearest(queries)
    np.testing.assert_allclose(distances, expected.min(axis=1), rtol=1e-5, atol=1e-12)
    np.testing.assert_array_equal(indices, expected.argmin(axis=1))


@pytest.mark.parametrize("case", CASES[:-1])
def test_several_neighbors_come_in_the_order_of_brute_force(case):
    bank, queries = made(case)
    queries = queries[:20]
    expected = brute_force(bank, queries)
    distances, indices = NearestNeighbors(bank).k_nearest(queries, 5)
    order = np.argsort(expected, axis=1, kind="stable")[:, :5]
    np.testing.assert_allclose(distances, np.take_along_axis(expected, order, axis=1), rtol=1e-5, atol=1e-12)
    np.testing.assert_array_equal(indices, order)


@pytest.mark.parametrize("dense", [0, 2], ids=["whole blocks", "groups"])
def test_groups_and_whole_blocks_give_the_same_bits(dense, monkeypatch):
    bank, queries = made(clustered)
    expected = NearestNeighbors(bank).nearest(queries)
    monkeypatch.setattr(neighbors, "DENSE", dense)
    found = NearestNeighbors(bank).nearest(queries)
    np.testing.assert_array_equal(found, expected)


def test_bounds_of_heads_leave_few_products_of_a_wide_bank(monkeypatch):
    bank, queries = made(wide)
    counted = {"pairs": 0, "whole": 0}
    products, whole = neighbors._Search._products, neighbors._Search._whole

    def count_pairs(self, left, row, *more):
        counted["pairs"] += len(row)
        return products(self, left, row, *more)

    def count_whole(self, rows, left, start, stop):
        counted["whole"] += len(rows) * (stop - start)
        return whole(self, rows, left, start, stop)

    monkeypatch.setattr(neighbors._Search, "_products", count_pairs)
    monkeypatch.setattr(neighbors._Search, "_whole", count_whole)
    monkeypatch.setattr(neighbors, "HOPEFUL", 2)
    search = NearestNeighbors(bank)
    assert search.heads.directions.shape == (640, 16)
    found = search.nearest(queries[:60])
    assert counted["whole"] == 0
    assert counted["pairs"] < 0.2 * 60 * len(bank)
    monkeypatch.setattr(neighbors, "HOPEFUL", -1)
    np.testing.assert_array_equal(search.nearest(queries[:60]), found)
    assert counted["whole"] > 0


def test_a_bank_that_spreads_in_all_directions_has_no_heads():
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(300, 512)).astype(np.float32))
    assert NearestNeighbors(rows).heads is None


def test_groups_leave_most_of_a_clustered_bank_out(monkeypatch):
    bank, queries = made(clustered)
    looked = []
    compare = neighbors._Search._compare
    monkeypatch.setattr(
        neighbors._Search,
        "_compare",
        lambda self, rows, left, start, stop: (
            looked.append(len(rows) * (stop - start)),
            compare(self, rows, left, start, stop),
        ),
    )
    NearestNeighbors(bank).nearest(queries)
    assert sum(looked) < len(bank) * len(queries) / 4


def test_small_chunks_and_pending_pairs_change_nothing(monkeypatch):
    bank, queries = made(clustered)
    expected = NearestNeighbors(bank).nearest(queries)
    for name, value in {"CHUNK_ENTRIES": 2**12, "BLOCK_ROWS": 7, "BLOCK_COLUMNS": 16, "PENDING": 20}.items():
        monkeypatch.setattr(neighbors, name, value)
    np.testing.assert_array_equal(NearestNeighbors(bank).nearest(queries), expected)


def test_reduced_precision_of_torch_products_changes_nothing():
    bank, queries = made(spread)
    expected = NearestNeighbors(bank).nearest(queries)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        np.testing.assert_array_equal(NearestNeighbors(bank).nearest(queries), expected)
    finally:
        torch.set_float32_matmul_precision(before)


def test_queries_that_are_not_finite_get_no_distance_and_spoil_no_other():
    bank, queries = made(clustered)
    expected, _ = NearestNeighbors(bank).nearest(queries)
    queries[3, 0], queries[5, 1], queries[7] = torch.nan, torch.inf, 1e30
    distances, indices = NearestNeighbors(bank).nearest(queries)
    assert distances[[3, 5, 7]].isnan().all()
    assert (indices[[3, 5, 7]] == 0).all()
    others = np.setdiff1d(np.arange(len(queries)), [3, 5, 7])
    np.testing.assert_array_equal(distances[others], expected[others])
    several, _ = NearestNeighbors(bank).k_nearest(queries[:5], 2)
    assert several[3].isnan().all()
    np.testing.assert_array_equal(several[[0, 1, 2, 4], 0], expected[[0, 1, 2, 4]])


def test_no_queries_have_no_neighbors():
    bank, queries = made(clustered)
    distances, indices = NearestNeighbors(bank).nearest(queries[:0])
    assert len(distances) == len(indices) == 0


@pytest.mark.parametrize(
    "bank",
    [
        torch.zeros(3, 2, dtype=torch.float16),
        torch.zeros(3, 2, dtype=torch.float64),
        torch.empty(0),
        torch.tensor([[0, torch.nan]]),
        torch.tensor([[0, torch.inf]]),
        torch.tensor([[0, 1e19]]),
    ],
    ids=["half", "double", "empty", "nan", "inf", "near overflow"],
)
def test_banks_that_only_torch_can_search_are_told_apart(bank):
    assert not is_searchable(bank)
    assert is_searchable(torch.zeros(3, 2))


def test_search_works_inside_inference_mode_where_the_trainer_tests():
    rng = np.random.default_rng(0)
    bank = torch.from_numpy(rng.normal(size=(300, 8)).astype(np.float32))
    expected = NearestNeighbors(bank).k_nearest(bank[:5] + 0.1, 3)
    with torch.inference_mode():
        found = NearestNeighbors(bank).k_nearest(bank[:5] + 0.1, 3)
        nearest, _ = NearestNeighbors(bank).nearest(bank[:5] + 0.1)
    assert torch.equal(found[1], expected[1])
    assert torch.equal(nearest, expected[0][:, 0])
