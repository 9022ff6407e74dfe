"""Ways to select patches: what a bank of each holds of dirty data, and that they are reproducible and well-formed."""

import numpy as np
import pytest
import torch
from lightning.pytorch import seed_everything

from extensions import Patchcore
from extensions.models.patchcore import coreset_methods
from extensions.models.patchcore.coreset import METHODS, select_coreset

ROBUST = tuple(method for method in METHODS if method != "greedy")
N_NORMAL, N_DEFECTIVE = 4900, 100


def select(embedding: torch.Tensor | np.ndarray, ratio: float, method: str, seed: int = 0, **settings) -> torch.Tensor:
    seed_everything(seed, verbose=False)
    return select_coreset(embedding, sampling_ratio=ratio, method=method, progress=False, **settings)


def normal_patches(rng: np.random.Generator) -> np.ndarray:
    """A product's surfaces: 12 kinds of patches, some common, some rare, some more irregular than others."""
    kinds = 3 * rng.normal(size=(12, 48))
    kind = rng.choice(12, size=N_NORMAL, p=np.linspace(1, 3, 12) / np.linspace(1, 3, 12).sum())
    return kinds[kind] + np.linspace(0.3, 1, 12)[kind, None] * rng.normal(size=(N_NORMAL, 48))


def dirty(kind: str, seed: int) -> torch.Tensor:
    """Normal patches with 2 % anomalous ones behind them."""
    rng = np.random.default_rng(seed)
    normal = normal_patches(rng)
    if kind == "scattered":
        defects = normal[rng.integers(N_NORMAL, size=N_DEFECTIVE)] + 4 * rng.normal(size=(N_DEFECTIVE, 48))
    else:
        # 20 defects of five patches each
        defects = np.repeat(6 * rng.normal(size=(N_DEFECTIVE // 5, 48)), 5, axis=0)
        defects += 0.3 * rng.normal(size=defects.shape)
    return torch.from_numpy(np.concatenate([normal, defects])).float()


def over_selection(embedding: torch.Tensor, method: str, seed: int, ratio: float = 0.02) -> float:
    """How many times the share of anomalous patches is larger in the bank than in the training patches."""
    bank = select(embedding, ratio, method, seed)
    return float((bank >= N_NORMAL).double().mean()) / (N_DEFECTIVE / len(embedding))


@pytest.mark.parametrize("kind", ["scattered", "recurring"])
def test_greedy_over_selects_planted_anomalies_and_the_other_methods_do_not(kind) -> None:
    found = {method: [over_selection(dirty(kind, seed), method, seed) for seed in range(3)] for method in METHODS}
    assert min(found["greedy"]) > 8
    for method in ROBUST:
        assert np.mean(found[method]) < 1.5, method


@pytest.mark.parametrize("kind", ["scattered", "recurring"])
def test_density_leaves_most_anomalies_out(kind) -> None:
    assert np.mean([over_selection(dirty(kind, seed), "density", seed) for seed in range(3)]) < 0.25


@pytest.mark.parametrize("method", ["kmeans", "density"])
def test_every_kind_of_normal_patch_stays_in_the_bank(method) -> None:
    rng = np.random.default_rng(0)
    kind = np.arange(3000) % 10
    embedding = torch.from_numpy(5 * rng.normal(size=(10, 24))[kind] + rng.normal(size=(3000, 24))).float()
    assert set(kind[select(embedding, 0.05, method)]) == set(range(10))


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_selects_the_same_patches_and_another_does_not(method) -> None:
    embedding = dirty("scattered", 0)
    first, again, other = (select(embedding, 0.02, method, seed).tolist() for seed in (5, 5, 6))
    assert first == again
    assert first != other


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ratio", [0.01, 0.3, 1.0])
def test_as_many_different_patches_as_the_ratio_asks_for(method, ratio) -> None:
    embedding = dirty("recurring", 0)[:1200]
    found = select(embedding, ratio, method)
    assert found.dtype == torch.int64
    assert found.shape == (int(1200 * ratio),)
    assert len(found.unique()) == len(found)
    assert 0 <= found.min() <= found.max() < 1200


@pytest.mark.parametrize("method", ["greedy", "random"])
def test_a_smaller_ratio_selects_the_first_of_a_larger_one(method) -> None:
    embedding = dirty("scattered", 1)
    large = select(embedding, 0.1, method, 3).tolist()
    for ratio in (0.001, 0.01, 0.05):
        small = select(embedding, ratio, method, 3).tolist()
        assert small == large[: len(small)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
@pytest.mark.parametrize("method", ROBUST)
def test_other_precisions_are_selected_from(method, dtype) -> None:
    assert len(select(dirty("scattered", 2).to(dtype), 0.02, method).unique()) == 100


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_patches", [1, 2, 9])
def test_few_patches_and_copies_of_one_fill_the_bank(method, n_patches) -> None:
    assert len(select(torch.ones(n_patches, 8), 1.0, method)) == n_patches


def test_random_patches_and_medoids_of_copies_are_different_patches() -> None:
    for method in ("random", "kmeans"):
        assert len(select(torch.ones(500, 8), 0.1, method).unique()) == 50


def test_medoids_are_the_members_nearest_to_the_centroid_by_a_slow_loop(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    points, centroids = rng.integers(4, size=(300, 3)).astype(np.float32), rng.normal(2, 1, size=(12, 3))
    monkeypatch.setattr(coreset_methods, "CHUNK_ROWS", 16)
    found, n_members = coreset_methods._nearest_members(torch.from_numpy(points), torch.from_numpy(centroids).float())
    distances = np.linalg.norm(points[:, None] - centroids, axis=2)
    for cluster, column in enumerate(distances.T):
        members = np.flatnonzero(distances.argmin(axis=1) == cluster)
        assert n_members[cluster] == len(members)
        assert found[cluster] == (members[column[members].argmin()] if len(members) else -1)


@pytest.mark.parametrize("method", METHODS)
def test_a_memory_map_gives_the_patches_of_the_array_in_memory(method, tmp_path) -> None:
    embedding = dirty("recurring", 3).numpy()
    embedding.tofile(tmp_path / "embedding.bin")
    mapped = np.memmap(tmp_path / "embedding.bin", np.float32, "r", shape=embedding.shape)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    expected = select(embedding, 0.05, method, 1)
    assert select(mapped, 0.05, method, 1).tolist() == expected.tolist()
    assert select(mapped, 0.05, method, 1, scratch=scratch).tolist() == expected.tolist()
    assert list(scratch.iterdir()) == []


def test_a_scratch_folder_that_is_missing_is_named(tmp_path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        select(torch.randn(100, 8), 0.1, "greedy", scratch=tmp_path / "nowhere")


def test_an_unknown_method_is_one_sentence_with_all_names() -> None:
    with pytest.raises(ValueError, match=r"coreset is 'best'; expected one of greedy, random, kmeans, density\."):
        select_coreset(torch.randn(100, 8), sampling_ratio=0.1, method="best")
    with pytest.raises(ValueError, match=r"expected one of greedy, random, kmeans, density\."):
        Patchcore("resnet18", pre_trained=False, coreset="best")


@pytest.mark.parametrize("coreset", METHODS)
def test_patchcore_fits_with_every_method(coreset, bare, engine, tiny_folder) -> None:
    seed_everything(0, verbose=False)
    settings = {"pre_trained": False, "image_size": 64, "coreset_sampling_ratio": 0.1, "num_neighbors": 3}
    model = Patchcore("resnet18", coreset=coreset, **settings, **bare)
    engine().fit(model, datamodule=tiny_folder())
    assert model.model.memory_bank.shape == (8 * 8 * 8 // 10, 384)
    assert model.hparams["coreset"] == coreset
