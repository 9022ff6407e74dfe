"""How far an image's strangest patches are from those of its nearest images."""

from collections.abc import Sequence

import numpy as np
import torch

from extensions.refinement.whitening import whitened

CANDIDATES = 0.2  # share of an image's patches whose distances are measured exactly
SAMPLED = 12  # patches of each image by which candidates are found
SAMPLED_RANK = 3
DEPTH = 32  # nearest images of each candidate that are remembered, so that some may be removed
CHUNK_ENTRIES = 2**23  # distances held at once, 32 MB


class PatchNeighbors:
    """The nearest other images of each image's strangest patches.

    A patch is as far from an image as from the nearest of all its patches, wherever in the image that is. With a
    rank above the number of times that a defect recurs, its copies do not vouch for it. Every patch of every other
    image counts: with a sample of them, products that lie as they fall look strange in every pose that the sample
    does not hold.

    The patches that stand out are found by a sample of 12 patches of each image first, and only those that may be
    pooled, a fifth of all, are compared with all patches. Their 32 nearest images are remembered, so that distances
    among those images that are left when some were removed need no further search; whitening and candidates stay
    those of all images.

    Args:
        patches: (N, P, C), N >= 2. Kept, not copied.
        names: Of the N images; samples are drawn in their order.
        rng: Draws the samples.
    """

    def __init__(self, patches: np.ndarray, names: Sequence[str], *, rng: np.random.Generator) -> None:
        order = sorted(range(len(names)), key=names.__getitem__)
        self._patches = patches
        self._rows = {names[index]: index for index in order}
        self._places = {names[index]: place for place, index in enumerate(order)}
        known = whitened(patches[order], rng=rng)
        n_images, self._n_patches, _ = known.shape
        n_candidates = int(np.ceil(CANDIDATES * self._n_patches))
        drawn = np.stack([rng.permutation(self._n_patches)[:SAMPLED] for _ in range(n_images)])
        self._seed = int(rng.integers(2**63))
        sample = known.gather(1, _columns(torch.from_numpy(drawn), known))
        rough = _nearest(known, sample, min(SAMPLED_RANK, n_images - 1))[0][:, :, -1]
        candidates = known.gather(1, _columns(rough.topk(n_candidates, dim=1).indices, known))
        self._distances, self._images = _nearest(candidates, known, min(DEPTH, n_images - 1))

    def distances(self, names: Sequence[str], ranks: Sequence[int], *, top_share: float) -> np.ndarray:
        """Mean distance of each image's strangest patches to the r-th nearest of some images, for several r.

        Args:
            names: Of the images, two or more; only they are neighbors.
            ranks: Each 1 or more; no image is farther than the last.
            top_share: Share of an image's patches, those with the largest distance, that is averaged; at most a fifth.

        Returns:
            (number of names, number of ranks) float64, higher is more anomalous.
        """
        places = torch.tensor([self._places[name] for name in names])
        is_left = torch.zeros(len(self._places), dtype=torch.bool)
        is_left[places] = True
        reached = is_left[self._images[places]].cumsum(dim=2)  # how many of those left are as near as this
        wanted = [min(rank, len(names) - 1) for rank in ranks]
        if int(reached[:, :, -1].min()) < max(wanted):  # more of a patch's neighbors were removed than remembered
            part = self._patches[[self._rows[name] for name in names]]
            rest = PatchNeighbors(part, names, rng=np.random.default_rng(self._seed))
            return rest.distances(names, ranks, top_share=top_share)
        n_top = int(np.ceil(top_share * self._n_patches))
        found = [
            self._distances[places].gather(2, (reached >= rank).int().argmax(dim=2, keepdim=True))[:, :, 0]
            for rank in wanted
        ]
        return torch.stack(found, dim=2).topk(n_top, dim=1).values.mean(dim=1, dtype=torch.float64).numpy()


def _columns(places: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    return places[:, :, None].expand(-1, -1, known.shape[2])


def _nearest(queries: torch.Tensor, known: torch.Tensor, depth: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The nearest other images of patches: (N, q, C), (N, m, C) -> distances and images, both (N, q, depth)."""
    n_images, n_queries, n_channels = queries.shape
    n_known = known.shape[1]
    halves = (known**2).sum(dim=2) / 2
    distances = torch.empty(n_images, n_queries, depth)
    images = torch.empty(n_images, n_queries, depth, dtype=torch.int64)
    # As many queries as patches in a product: neither is read more often than the other.
    n_rows = max(1, int(np.sqrt(CHUNK_ENTRIES)) // n_queries)
    n_others = max(1, int(np.sqrt(CHUNK_ENTRIES)) // n_known)
    for start in range(0, n_images, n_rows):
        part = queries[start : start + n_rows]
        rows = part.reshape(-1, n_channels)
        nearest = torch.empty(len(rows), n_images)
        for first in range(0, n_images, n_others):
            others = slice(first, first + n_others)
            products = torch.addmm(halves[others].flatten(), rows, known[others].flatten(0, 1).T, alpha=-1)
            nearest[:, others] = products.view(len(rows), -1, n_known).amin(dim=2)
        nearest = nearest.view(*part.shape[:2], n_images)
        own = torch.arange(len(part))
        nearest[own, :, start + own] = torch.inf
        squares, images[start : start + n_rows] = nearest.topk(depth, dim=2, largest=False)
        squares = 2 * squares + (part**2).sum(dim=2, keepdim=True)
        distances[start : start + n_rows] = squares.clamp_min(0).sqrt()
    return distances, images
