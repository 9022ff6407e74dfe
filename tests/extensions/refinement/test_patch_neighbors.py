"""Distances between patches of images, compared with loops over all of them."""

import numpy as np
import pytest
import torch

from extensions.refinement import patch_banks, patch_neighbors
from extensions.refinement.whitening import whitened


def patches(n: int = 30, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.gamma(2, size=(n, 20, 6)).astype(np.float32) * np.array([1, 10, 0.1, 3, 1, 1], np.float32)


def slow_to_images(rows: np.ndarray) -> np.ndarray:
    """(N, P, N): distance of each patch to the nearest patch of each image, infinite to its own."""
    gaps = np.linalg.norm(rows[:, :, None, None] - rows[None, None], axis=-1).min(axis=3)
    gaps[np.arange(len(rows)), :, np.arange(len(rows))] = np.inf
    return gaps


def test_whitened_patches_vary_as_much_in_every_direction(monkeypatch):
    monkeypatch.setattr("extensions.refinement.whitening.FLOOR", 0.0)
    rows = whitened(patches(), rng=np.random.default_rng(0)).reshape(-1, 6).numpy()
    np.testing.assert_allclose(np.cov(rows.T), np.eye(6), atol=0.01)


def test_channels_that_hardly_vary_are_not_blown_up_to_noise():
    given = patches()
    given[..., 2] = 1 + 1e-6 * given[..., 2]
    assert whitened(given, rng=np.random.default_rng(0)).std(dim=(0, 1)).min() < 1e-3


def neighbors(given: np.ndarray) -> patch_neighbors.PatchNeighbors:
    return patch_neighbors.PatchNeighbors(given, names(len(given)), rng=np.random.default_rng(0))


def names(n: int) -> list[str]:
    return [f"{number:03}.png" for number in range(n)]


def slow_distances(gaps: np.ndarray, ranks: list[int]) -> np.ndarray:
    """Mean of the two largest patch distances to the r-th nearest image."""
    gaps = np.sort(gaps, axis=2)
    return np.transpose([np.sort(gaps[:, :, rank - 1], axis=1)[:, -2:].mean(axis=1) for rank in ranks])


@pytest.mark.parametrize("ranks", [[1], [6], [1, 6], [6, 2]])
def test_distances_are_those_of_a_loop_over_all_patches(monkeypatch, ranks):
    monkeypatch.setattr(patch_neighbors, "CANDIDATES", 1.0)
    monkeypatch.setattr(patch_neighbors, "CHUNK_ENTRIES", 60**2)  # three images at once
    found = neighbors(patches()).distances(names(30), ranks, top_share=0.1)
    gaps = slow_to_images(whitened(patches(), rng=np.random.default_rng(0)).numpy())
    np.testing.assert_allclose(found, slow_distances(gaps, ranks), rtol=1e-4)


@pytest.mark.parametrize("depth", [24, 4])
def test_removed_images_are_no_neighbors_any_more(monkeypatch, depth):
    monkeypatch.setattr(patch_neighbors, "CANDIDATES", 1.0)
    monkeypatch.setattr(patch_neighbors, "DEPTH", depth)  # 4 are too few to remember when 6 are removed
    left = np.delete(np.arange(30), [3, 7, 8, 20, 21, 29])
    found = neighbors(patches()).distances([names(30)[place] for place in left], [1, 4], top_share=0.1)
    rows = whitened(patches() if depth > 4 else patches()[left], rng=np.random.default_rng(0)).numpy()
    gaps = slow_to_images(rows)
    gaps = gaps[left][:, :, left] if depth > 4 else gaps
    np.testing.assert_allclose(found, slow_distances(gaps, [1, 4]), rtol=1e-4)


def test_candidates_found_by_a_sample_give_nearly_what_all_patches_give(monkeypatch):
    monkeypatch.setattr(patch_neighbors, "SAMPLED", 6)
    few = neighbors(patches(60)).distances(names(60), [1], top_share=0.05)
    monkeypatch.setattr(patch_neighbors, "CANDIDATES", 1.0)
    every = neighbors(patches(60)).distances(names(60), [1], top_share=0.05)
    assert (few <= every * 1.0001).all()
    assert np.corrcoef(few[:, 0], every[:, 0])[0, 1] > 0.9


def test_a_bank_holds_nothing_of_the_images_it_scores(monkeypatch):
    # Each image is 20 copies of one patch far from all others: in its own bank it would be at distance 0.
    given = np.repeat(np.eye(30, dtype=np.float32)[:, None], 20, axis=1)
    monkeypatch.setattr("extensions.refinement.whitening.FLOOR", 1.0)
    distances = patch_banks.out_of_bag_distances(given, rng=np.random.default_rng(0))
    assert distances.shape == (30, 20)
    assert distances.min() > 0.5


def test_every_image_is_scored_by_as_many_banks():
    for n_groups in (2, 3, 7, 20):
        banks = patch_banks._banks(n_groups, np.random.default_rng(0))
        counts = np.bincount(torch.cat(banks).numpy(), minlength=n_groups)
        assert (counts == patch_banks.N_PASSES).all()
        assert len(banks) > patch_banks.N_PASSES


def test_what_is_held_at_once_does_not_change_the_distances(monkeypatch):
    whole = patch_banks.out_of_bag_distances(patches(), rng=np.random.default_rng(0))
    monkeypatch.setattr(patch_banks, "CHUNK_ENTRIES", 1)
    one_by_one = patch_banks.out_of_bag_distances(patches(), rng=np.random.default_rng(0))
    np.testing.assert_allclose(one_by_one, whole, rtol=1e-4)
