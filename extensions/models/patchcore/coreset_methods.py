"""Ways to select or to keep patches that an anomaly among the training images does not win."""

import numpy as np
import torch

CHUNK_ROWS = 2**14  # patches held at once beside the embedding
N_REFERENCES = 2048
N_NEIGHBORS = 8  # a kind of patch is rare where fewer than 8 in 2048 are like it
ISOLATED_SHARE = 0.15  # SoftPatch's threshold
SPARSE = 0.25  # of the average number of members
SEEN_PER_CENTROID = 100  # patches shown to a centroid until it stays where it is, about
BATCH_PER_CENTROID = 2


def random_patches(n_patches: int, n_selected: int, seed: int) -> torch.Tensor:
    """Draw patches without replacement, all equally likely; fewer of the same seed are the first of more.

    Args:
        n_patches: How many there are.
        n_selected: How many to draw.
        seed: Another seed, other patches.

    Returns:
        (n_selected,) int64 indices on the CPU.
    """
    return torch.randperm(n_patches, generator=torch.Generator().manual_seed(seed))[:n_selected]


def medoids(embedding: torch.Tensor, n_selected: int, seed: int) -> torch.Tensor:
    """Cluster the patches and select in each cluster the one nearest to its centroid.

    Mini-batch k-means (Sculley, "Web-Scale K-Means Clustering", 2010, https://doi.org/10.1145/1772690.1772862) as in
    scikit-learn, on the CPU. Squared errors are least where far anomalies have centroids of their own, so a cluster
    with fewer than a quarter of the average members gives its place to a random patch, and the start is drawn at
    random: k-means++ prefers isolated patches.

    Args:
        embedding: (n_patches, n_channels).
        n_selected: How many clusters.
        seed: Of the start and the batches.

    Returns:
        (n_selected,) int64 indices on the CPU, ascending, all different.
    """
    from sklearn.cluster import MiniBatchKMeans

    n_patches = len(embedding)
    batch_size = min(n_patches, max(2048, BATCH_PER_CENTROID * n_selected))
    n_shown = min(3 * n_patches, SEEN_PER_CENTROID * n_selected)
    kmeans = MiniBatchKMeans(
        n_selected,
        init=_float32(embedding, random_patches(n_patches, n_selected, seed)),
        n_init=1,
        compute_labels=False,
        reassignment_ratio=0,  # else a sparse cluster's centroid moves to a random patch every few batches
        random_state=seed,
    )
    rng = np.random.default_rng(seed)
    for _ in range(max(1, n_shown // batch_size)):
        batch = torch.from_numpy(np.sort(rng.choice(n_patches, batch_size, replace=False)))
        kmeans.partial_fit(_float32(embedding, batch))
    centroids = torch.from_numpy(np.asarray(kmeans.cluster_centers_, np.float32))
    found, n_members = _nearest_members(embedding, centroids)
    chosen = torch.unique(found[(found >= 0) & (n_members >= SPARSE * n_patches / n_selected)])
    others = random_patches(n_patches, n_patches, seed + 1)
    others = others[~torch.isin(others, chosen)][: n_selected - len(chosen)]
    return torch.cat([chosen, others]).sort().values


def dense_patches(embedding: torch.Tensor, n_kept: int, seed: int) -> torch.Tensor:
    """Leave out the patches that are isolated for the neighborhood they lie in.

    SoftPatch's patch-level denoising (Jiang et al., "SoftPatch: Unsupervised Anomaly Detection with Noisy Data", 2022,
    https://arxiv.org/abs/2403.14233) drops the 15 % of patches with the largest local outlier factor before the
    greedy selection. Differs from the paper: neighbors are sought in a random sample of all patches (Sugiyama and
    Borgwardt, "Rapid Distance-Based Outlier Detection via Sampling", 2013,
    https://papers.nips.cc/paper/5127-rapid-distance-based-outlier-detection-via-sampling), not among those of the
    same place in the image, so one defect that recurs at one place does not vouch for itself; the factor is the
    distance to the 8th neighbor over the neighbors' own, without reachability; scores are not weighted by it later.

    Args:
        embedding: (n_patches, n_channels).
        n_kept: How many to keep at least.
        seed: Of the sample.

    Returns:
        (max(n_kept, 85 % of n_patches),) int64 indices on the embedding's device, ascending.
    """
    n_patches = len(embedding)
    sample = random_patches(n_patches, min(N_REFERENCES, n_patches), seed)
    references = _float32(embedding, sample)
    n_neighbors = min(N_NEIGHBORS, len(references) - 1)
    if n_neighbors < 1:
        return torch.arange(n_patches, device=embedding.device)
    # A reference is the nearest to itself.
    own = _smallest(references, references, n_neighbors + 1)[0][:, -1]
    least = max(1e-3 * float(own.mean()), torch.finfo(own.dtype).tiny)  # copies of one patch are at no distance
    isolation = []
    for start in range(0, n_patches, CHUNK_ROWS):
        rows = slice(start, min(start + CHUNK_ROWS, n_patches))
        distances, neighbors = _smallest(_float32(embedding, rows), references, n_neighbors)
        isolation.append(distances[:, -1] / own[neighbors].mean(dim=1).clamp_min(least))
    n_kept = max(n_kept, n_patches - int(ISOLATED_SHARE * n_patches))
    order = torch.cat(isolation).argsort(stable=True)
    return order[:n_kept].sort().values


def _float32(embedding: torch.Tensor, rows: slice | torch.Tensor) -> torch.Tensor:
    part = embedding[rows] if isinstance(rows, slice) else embedding[rows.to(embedding.device)]
    return part.float()


def _smallest(points: torch.Tensor, references: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Distances to the n nearest references, nearest first, and their indices; (n_points, n) each."""
    distances = torch.cdist(points, references, compute_mode="use_mm_for_euclid_dist")
    found = distances.topk(n, dim=1, largest=False)
    return found.values, found.indices


def _nearest_members(embedding: torch.Tensor, centroids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For each centroid, the nearest of the patches it is nearest to, -1 without any, and their number; (n,) each."""
    centroids = centroids.to(embedding.device)
    halves = (centroids**2).sum(dim=1) / 2
    n_members = torch.zeros_like(halves)
    least = torch.full((len(centroids),), torch.inf, device=embedding.device)
    found = torch.full((len(centroids),), -1, device=embedding.device)
    n_rows = max(16, min(CHUNK_ROWS, 2**25 // len(centroids)))
    for start in range(0, len(embedding), n_rows):
        part = _float32(embedding, slice(start, start + n_rows))
        label = torch.addmm(halves, part, centroids.T, alpha=-1).argmin(dim=1)
        n_members += torch.bincount(label, minlength=len(centroids))
        distance = torch.linalg.norm(part - centroids[label], dim=1)
        best = torch.full_like(least, torch.inf).scatter_reduce_(0, label, distance, "amin")
        members = torch.nonzero((distance == best[label]) & (distance < least[label]))[:, 0]
        found.scatter_(0, label[members], len(embedding))
        found.scatter_reduce_(0, label[members], members + start, "amin")
        least = torch.minimum(least, best)
    return found.cpu(), n_members.cpu()
