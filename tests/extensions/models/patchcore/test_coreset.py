"""The fast coreset against anomalib's own, index by index."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from anomalib.models.components import KCenterGreedy
from lightning.pytorch import seed_everything

from extensions.models.common.threads import compute_on
from extensions.models.patchcore import coreset_projection, coreset_screen, coreset_search
from extensions.models.patchcore.coreset import greedy_k_center, select_coreset


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    compute_on(1)  # so little data is slower on many
    yield
    compute_on(before)


def random(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(2500, 40))


def clustered(rng: np.random.Generator) -> np.ndarray:
    centers = 10 * rng.normal(size=(20, 30))
    return centers[rng.integers(20, size=3000)] + rng.normal(size=(3000, 30)) * rng.exponential(size=(3000, 1))


def far_from_the_origin(rng: np.random.Generator) -> np.ndarray:
    return 1000 + rng.normal(size=(2600, 12))


def tight_clusters_far_apart(rng: np.random.Generator) -> np.ndarray:
    return 100 * rng.normal(size=(8, 20))[rng.integers(8, size=2200)] + 1e-3 * rng.normal(size=(2200, 20))


def duplicated(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(150, 16))[rng.integers(150, size=2600)]


def on_a_grid(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(3, size=(3000, 6)).astype(float)


def two_values(rng: np.random.Generator) -> np.ndarray:
    return np.repeat(rng.normal(size=(2, 5)), 1500, axis=0)


def all_equal(rng: np.random.Generator) -> np.ndarray:
    return np.tile(rng.normal(size=(1, 24)), (600, 1))


def high_dimensional(rng: np.random.Generator) -> np.ndarray:
    return np.maximum(rng.normal(size=(2300, 1500)), 0) * rng.exponential(size=(2300, 1))


def one_channel(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(2500, 1))


def heavy_tailed(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_cauchy(size=(2500, 20))


def with_far_outliers(rng: np.random.Generator) -> np.ndarray:
    features = rng.normal(size=(2500, 20))
    features[rng.integers(2500, size=5)] *= 1e5
    return features


KINDS = (
    random,
    clustered,
    far_from_the_origin,
    tight_clusters_far_apart,
    duplicated,
    on_a_grid,
    two_values,
    all_equal,
    high_dimensional,
    one_channel,
    heavy_tailed,
    with_far_outliers,
)


def stock(embedding: torch.Tensor, ratio: float, seed: int) -> list[int]:
    seed_everything(seed, verbose=False)
    return KCenterGreedy(embedding, ratio).select_coreset_idxs()


def ours(embedding: torch.Tensor, ratio: float, seed: int) -> list[int]:
    seed_everything(seed, verbose=False)
    return select_coreset(embedding, sampling_ratio=ratio, progress=False).tolist()


def slow_k_center(features: torch.Tensor, n_centers: int, first: int) -> list[int]:
    selected, nearest = [first], torch.full((len(features),), torch.inf, dtype=features.dtype)
    while len(selected) < n_centers:
        distances = torch.linalg.norm(features - features[selected[-1]], dim=1)
        nearest = torch.minimum(nearest, distances)
        selected.append(int(np.flatnonzero(nearest.numpy() == nearest.numpy().max())[0]))
    return selected


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("seed", [0, 1])
def test_indices_and_their_order_equal_stock(kind, seed) -> None:
    embedding = torch.from_numpy(kind(np.random.default_rng(seed))).float()
    assert ours(embedding, 0.1, seed) == stock(embedding, 0.1, seed)


@pytest.mark.parametrize("kind", [random, duplicated, on_a_grid, tight_clusters_far_apart])
def test_a_ratio_of_one_selects_in_stock_order(kind) -> None:
    embedding = torch.from_numpy(kind(np.random.default_rng(3))[:1200]).float()
    assert ours(embedding, 1.0, 5) == stock(embedding, 1.0, 5)


@pytest.mark.parametrize("n_patches", [1, 2, 3, 10])
def test_few_patches_equal_stock(n_patches) -> None:
    embedding = torch.randn(n_patches, 8, generator=torch.Generator().manual_seed(0))
    assert ours(embedding, 1.0, 2) == stock(embedding, 1.0, 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_equal_stock(dtype) -> None:
    embedding = torch.from_numpy(clustered(np.random.default_rng(4))).to(dtype)
    assert ours(embedding, 0.05, 3) == stock(embedding, 0.05, 3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_indices_equal_stock_there() -> None:
    embedding = torch.from_numpy(clustered(np.random.default_rng(4))).float().cuda()
    assert ours(embedding, 0.05, 3) == stock(embedding, 0.05, 3)


def test_random_state_afterwards_equals_stock() -> None:
    embedding = torch.from_numpy(clustered(np.random.default_rng(0))).float()
    after = []
    for select in (ours, stock):
        select(embedding, 0.01, 7)
        after.append((torch.rand(4).tolist(), np.random.random(4).tolist()))  # noqa: NPY002 (global on purpose)
    assert after[0] == after[1]


def test_a_numpy_embedding_gives_the_indices_of_the_tensor_and_is_left_alone() -> None:
    embedding = clustered(np.random.default_rng(0)).astype(np.float32)
    before = embedding.copy()
    seed_everything(1, verbose=False)
    found = select_coreset(embedding, sampling_ratio=0.02, progress=False)
    assert found.dtype == torch.int64
    assert found.tolist() == ours(torch.from_numpy(embedding), 0.02, 1)
    assert np.array_equal(embedding, before)


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e-18, 1e-8, 1e8, 1e17, 1e19, 1e25])
def test_very_small_and_very_large_features_equal_the_slow_loop(scale) -> None:
    features = (torch.randn(2600, 12, generator=torch.Generator().manual_seed(0)) * scale).float()
    assert greedy_k_center(features, 120, 9).tolist() == slow_k_center(features, 120, 9)


class Kept:
    """A checkpoint in memory; the process stops at a save of it."""

    def __init__(self, n_saves: int) -> None:
        self.state: np.ndarray | None = None
        self.n_saves = n_saves

    def load(self) -> np.ndarray | None:
        return self.state

    def save(self, state: np.ndarray) -> None:
        self.state = state.copy()
        self.n_saves -= 1
        if not self.n_saves:
            raise KeyboardInterrupt

    def reached(self, n_selected: int) -> None:
        self.n_reached = n_selected

    def discard(self) -> None:
        self.state = None


@pytest.mark.parametrize("n_saves", [1, 7])
@pytest.mark.parametrize("n_centers", [60, 900])
@pytest.mark.parametrize("kind", [clustered, duplicated, with_far_outliers])
def test_a_stopped_selection_goes_on_to_the_same_end(monkeypatch, kind, n_centers, n_saves) -> None:
    features = torch.from_numpy(kind(np.random.default_rng(5))).float()
    whole = greedy_k_center(features, 900, 3)
    monkeypatch.setattr(coreset_search, "SAVE_EVERY", -1.0)
    monkeypatch.setattr(coreset_search, "LARGEST_GROUP", 64)
    kept = Kept(n_saves)
    with pytest.raises(KeyboardInterrupt):
        greedy_k_center(features, 900, 3, checkpoint=kept)
    kept.n_saves = -1
    assert greedy_k_center(features, n_centers, 3, checkpoint=kept).tolist() == whole[:n_centers].tolist()
    assert kept.state is None
    assert kept.n_reached > 1


def test_a_state_of_other_points_is_not_taken_over() -> None:
    kept = Kept(-1)
    features = torch.from_numpy(random(np.random.default_rng(0))).float()
    expected = greedy_k_center(features, 50, 0)
    for state in (np.zeros(3, np.uint8), np.full(4000, 1, np.uint8)):
        kept.state = state
        assert greedy_k_center(features, 50, 0, checkpoint=kept).tolist() == expected.tolist()


@pytest.mark.parametrize("n_leading", [20, 100])
@pytest.mark.parametrize("kind", [random, duplicated, on_a_grid])
def test_the_size_of_the_leading_group_does_not_change_the_result(kind, n_leading) -> None:
    features = torch.from_numpy(kind(np.random.default_rng(5))).float()
    search = coreset_search.FarthestFirst(features, 60, 11)
    search.n_leading = n_leading
    assert search.run().tolist() == slow_k_center(features, 60, 11)


@pytest.mark.parametrize("threaded", [0, 2**62])
def test_small_blocks_and_threads_do_not_change_the_result(monkeypatch, threaded) -> None:
    compute_on(2)
    monkeypatch.setattr(coreset_search, "THREADED", threaded)
    monkeypatch.setattr(coreset_search, "BLOCK_ENTRIES", 64)
    monkeypatch.setattr(coreset_search, "PAIRS", 5)
    features = torch.from_numpy(clustered(np.random.default_rng(5))).float()
    assert greedy_k_center(features, 200, 0).tolist() == slow_k_center(features, 200, 0)


@pytest.mark.parametrize("few", [-1.0, 1.0])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_looking_along_few_directions_does_not_change_the_result(monkeypatch, kind, few) -> None:
    monkeypatch.setattr(coreset_search, "FEW", few)  # all or no blocks fall back to whole products
    monkeypatch.setattr(coreset_screen, "EXPLAINED", 0.6)
    monkeypatch.setattr(coreset_screen, "MOST_CHANNELS", 2)
    features = torch.from_numpy(kind(np.random.default_rng(7))[:900, :200]).float()
    search = coreset_search.FarthestFirst(features, 90, 4)
    search.n_leading = 100
    assert search.run().tolist() == slow_k_center(features, 90, 4)


def low_rank(rng: np.random.Generator, scale: float = 1.0) -> torch.Tensor:
    features = rng.normal(size=(3000, 6)) @ rng.normal(size=(6, 80)) + 0.05 * rng.normal(size=(3000, 80))
    return torch.from_numpy(features * scale).float()


@pytest.mark.parametrize("scale", [1e-22, 1e-18, 1e-8, 1.0, 1e8, 1e17])
def test_features_along_few_directions_are_screened_and_equal_the_slow_loop(scale) -> None:
    features = low_rank(np.random.default_rng(0), scale)
    search = coreset_search.FarthestFirst(features, 150, 9)
    if scale > 1e-18:
        assert search.screen is not None
        assert search.screen.directions.shape == (80, 8)
    assert search.run().tolist() == slow_k_center(features, 150, 9)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_no_distance_is_ruled_out_that_is_below_its_bound(offset) -> None:
    """Against distances in double precision, with bounds that are one unit in the last place above each of them."""
    features = low_rank(np.random.default_rng(2)) + offset
    search = coreset_search.FarthestFirst(features, 40, 0)
    for index in range(1, 40):
        search._select(index * 7)
    assert search.screen is not None
    points = np.arange(1000, 1200)
    shifted = features.numpy()[points] - search.shift
    left = search.screen.project(shifted)
    products = left @ search.screen.factors.T
    for column, center in enumerate(search.selected):
        distances = torch.linalg.norm(features[points] - features[center], dim=1).numpy()
        reach = search.screen.reach(left, (shifted**2).sum(axis=1), np.nextafter(distances, np.float32(np.inf)))
        assert (products[:, column] <= reach).all()


def test_a_memory_map_is_searched_without_a_copy(tmp_path) -> None:
    features = low_rank(np.random.default_rng(3)).numpy()
    features.tofile(tmp_path / "features.bin")
    mapped = np.memmap(tmp_path / "features.bin", np.float32, "r", shape=features.shape)
    search = coreset_search.FarthestFirst(coreset_projection.from_numpy(mapped), 10, 0)
    assert np.shares_memory(search.rows, mapped)
    assert greedy_k_center(mapped, 100, 0).tolist() == slow_k_center(torch.from_numpy(features), 100, 0)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_projection_in_pieces_equals_the_projection_at_once(n_threads, monkeypatch, tmp_path) -> None:
    compute_on(n_threads)
    monkeypatch.setattr(coreset_projection, "CHUNK_ROWS", 1024)
    embedding = torch.randn(5003, 64, generator=torch.Generator().manual_seed(0))
    projected = []
    for scratch in (None, tmp_path):
        seed_everything(0, verbose=False)
        projected.append(coreset_projection.random_projection(embedding, scratch=scratch))
    torch.testing.assert_close(projected[1], projected[0], rtol=1e-6, atol=1e-6)
    rows = torch.arange(4, 5003, 3)
    for scratch in (None, tmp_path):
        seed_everything(0, verbose=False)
        some = coreset_projection.random_projection(embedding, rows=rows, scratch=scratch)
        assert some.shape[0] == len(rows)
    assert list(tmp_path.iterdir()) == []


def test_a_lower_product_precision_set_in_torch_does_not_change_the_result() -> None:
    features = torch.from_numpy(random(np.random.default_rng(6))).float()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        found = greedy_k_center(features, 300, 0).tolist()
    finally:
        torch.set_float32_matmul_precision(before)
    assert found == slow_k_center(features, 300, 0)


def test_selected_points_are_ever_closer_together() -> None:
    features = torch.from_numpy(random(np.random.default_rng(8))).float()
    selected = features[torch.from_numpy(greedy_k_center(features, 200, 0))]
    reach = [torch.cdist(selected[i : i + 1], selected[:i]).min().item() for i in range(1, 200)]
    assert all(later <= earlier * (1 + 1e-4) for earlier, later in pairwise(reach))


@pytest.mark.parametrize("kind", [clustered, far_from_the_origin, with_far_outliers])
def test_few_distances_are_computed_outside_of_matrix_products(monkeypatch, kind) -> None:
    features = torch.from_numpy(kind(np.random.default_rng(0))).float()
    n_exact = []
    shrink = coreset_search.FarthestFirst._shrink

    def counting(search, points, centers) -> None:
        n_exact.append(len(points))
        shrink(search, points, centers)

    monkeypatch.setattr(coreset_search.FarthestFirst, "_shrink", counting)
    greedy_k_center(features, 300, 0)
    assert 0 < sum(n_exact) < 0.05 * len(features) * 300


def test_the_number_of_threads_is_given_back() -> None:
    compute_on(2)
    greedy_k_center(torch.randn(3000, 4), 5, 0)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("embedding", "ratio", "words"),
    [
        (torch.randn(50, 4), 0.01, "selects none"),
        (torch.randn(50, 4), 0.0, "sampling_ratio is 0.0"),
        (torch.randn(50, 4), -1.0, "sampling_ratio is -1.0"),
        (torch.randn(50, 4), 1.5, "sampling_ratio is 1.5"),
        (torch.randn(50, 4), float("nan"), "sampling_ratio is nan"),
        (torch.zeros(0, 4), 0.5, r"shape \(0, 4\)"),
        (torch.zeros(4, 0), 0.5, r"shape \(4, 0\)"),
        (torch.randn(50), 0.5, r"shape \(50,\)"),
        (torch.ones(50, 4, dtype=torch.int64), 0.5, "torch.int64"),
        (torch.randn(50, 4).index_fill(0, torch.tensor(7), torch.nan), 0.5, "not finite in patch 7 of 50"),
        (torch.randn(50, 4).index_fill(0, torch.tensor(3), torch.inf), 0.5, "not finite in patch 3 of 50"),
        (torch.full((50, 384), 3e38), 0.5, "projected embedding is not finite"),
    ],
)
def test_what_cannot_be_selected_from_is_one_sentence(embedding, ratio, words) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        select_coreset(embedding, sampling_ratio=ratio)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("n_centers", "first"), [(0, 0), (11, 0), (5, 10), (5, -1)])
def test_numbers_out_of_range_are_refused(n_centers, first) -> None:
    with pytest.raises(ValueError, match="there are 10 points"):
        greedy_k_center(torch.randn(10, 3), n_centers, first)
