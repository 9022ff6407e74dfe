"""How far a picture's strangest patches are from those of its nearest pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from extensions.refinement.whitening import whitened

CANDIDATES = 0.2  # share of a picture's patches whose distances are measured exactly
SAMPLED = 12  # patches of each picture by which candidates are found
SAMPLED_RANK = 3
CHUNK_ENTRIES = 2**23  # distances held at once, 32 MB


def picture_distances(
    patches: np.ndarray, ranks: Sequence[int], *, top_share: float, rng: np.random.Generator
) -> np.ndarray:
    """Mean distance of a picture's strangest patches to the r-th nearest other picture, for several r.

    A patch is as far from a picture as from the nearest of all its patches, wherever in the picture that is. With a
    rank above the number of times that a defect recurs, its copies do not vouch for it. Every patch of every other
    picture counts: with a sample of them, products that lie as they fall look strange in every pose that the sample
    does not hold.

    The patches that stand out are found by a sample of 12 patches of each picture first, and only those that may be
    pooled, a fifth of all, are compared with all patches.

    Args:
        patches: (N, P, C), N >= 2.
        ranks: Each 1 or more; no picture is farther than the (N - 1)-th.
        top_share: Share of a picture's patches, those with the largest distance, that is averaged.
        rng: Draws the samples.

    Returns:
        (N, number of ranks) float64, higher is more anomalous.
    """
    known = whitened(patches, rng=rng)
    n_pictures, n_patches, _ = known.shape
    n_top = int(np.ceil(top_share * n_patches))
    n_candidates = max(n_top, int(np.ceil(CANDIDATES * n_patches)))
    places = np.stack([rng.permutation(n_patches)[:SAMPLED] for _ in range(n_pictures)])
    sample = known.gather(1, _columns(torch.from_numpy(places), known))
    rough = _nearest(known, sample, [min(SAMPLED_RANK, n_pictures - 1)])[:, :, 0]
    candidates = known.gather(1, _columns(rough.topk(n_candidates, dim=1).indices, known))
    exact = _nearest(candidates, known, [min(rank, n_pictures - 1) for rank in ranks])  # (N, candidates, ranks)
    return exact.topk(n_top, dim=1).values.mean(dim=1, dtype=torch.float64).numpy()


def _columns(places: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    return places[:, :, None].expand(-1, -1, known.shape[2])


def _nearest(queries: torch.Tensor, known: torch.Tensor, ranks: Sequence[int]) -> torch.Tensor:
    """Distances of patches to the r-th nearest other picture: (N, q, C), (N, m, C) -> (N, q, number of ranks)."""
    n_pictures, n_queries, n_channels = queries.shape
    n_known = known.shape[1]
    halves = (known**2).sum(dim=2) / 2
    found = torch.empty(n_pictures, n_queries, len(ranks))
    # As many queries as patches in a product: neither is read more often than the other.
    n_rows = max(1, int(np.sqrt(CHUNK_ENTRIES)) // n_queries)
    n_others = max(1, int(np.sqrt(CHUNK_ENTRIES)) // n_known)
    for start in range(0, n_pictures, n_rows):
        part = queries[start : start + n_rows]
        rows = part.reshape(-1, n_channels)
        nearest = torch.empty(len(rows), n_pictures)
        for first in range(0, n_pictures, n_others):
            others = slice(first, first + n_others)
            products = torch.addmm(halves[others].flatten(), rows, known[others].flatten(0, 1).T, alpha=-1)
            nearest[:, others] = products.view(len(rows), -1, n_known).amin(dim=2)
        nearest = nearest.view(*part.shape[:2], n_pictures)
        own = torch.arange(len(part))
        nearest[own, :, start + own] = torch.inf
        squares = 2 * nearest.topk(max(ranks), dim=2, largest=False).values[:, :, [rank - 1 for rank in ranks]]
        found[start : start + n_rows] = (squares + (part**2).sum(dim=2, keepdim=True)).clamp_min(0).sqrt()
    return found
