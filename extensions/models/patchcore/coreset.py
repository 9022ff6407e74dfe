"""Greedy k-center coreset of patch features: the indices stock anomalib selects, in the same order, much sooner."""

from __future__ import annotations

import numpy as np
import torch
from anomalib.models.components import SparseRandomProjection
from tqdm import tqdm

from extensions.models.patchcore.coreset_search import FarthestFirst


def select_coreset(
    embedding: torch.Tensor | np.ndarray, *, sampling_ratio: float, progress: bool = True
) -> torch.Tensor:
    """Select the patches that stand for all others, each the farthest from those selected before it.

    Right after `seed_everything(s)` the result equals `KCenterGreedy(embedding, sampling_ratio).select_coreset_idxs()`
    of anomalib right after `seed_everything(s)`, index by index; on exact ties the lowest index wins, as there.
    Greedy k-center: Sener and Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set Approach", 2018,
    https://arxiv.org/abs/1708.00489.

    Args:
        embedding: (n_patches, n_channels), floating point. Not changed.
        sampling_ratio: Share of patches to select, in (0, 1]; int(n_patches * sampling_ratio) are selected.
        progress: Show a bar when it takes longer than two seconds.

    Returns:
        (n_selected,) int64 indices on the CPU, in the order of selection.

    Raises:
        ValueError: The embedding is no finite floating-point matrix, or the ratio selects nothing or too much.

    Example:
        >>> embedding = torch.randn(2000, 384)
        >>> bank = embedding[select_coreset(embedding, sampling_ratio=0.01)]
        >>> bank.shape
        torch.Size([20, 384])
    """
    embedding = torch.as_tensor(embedding).detach()
    n_centers = _n_centers(embedding, sampling_ratio)
    _check_finite(embedding, "The embedding")
    # A single patch is projected to zero dimensions, where stock divides by their number.
    with torch.no_grad(), np.errstate(divide="ignore", invalid="ignore"):
        # The one place that draws from the global random state: stock does, with these calls in this order, and
        # the same seed must give the same bank.
        features = SparseRandomProjection(eps=0.9).fit(embedding).transform(embedding)
        first = int(torch.randint(high=len(features), size=(1,), device=features.device))
        _check_finite(features, "The randomly projected embedding")
        if features.device.type == "cpu" and features.dtype in (torch.float32, torch.float64):
            return torch.from_numpy(greedy_k_center(features, n_centers, first, progress=progress))
        return _all_distances(features, n_centers, first, progress=progress)


def greedy_k_center(
    features: torch.Tensor | np.ndarray, n_centers: int, first: int, *, progress: bool = False
) -> np.ndarray:
    """Start at one point and add the point farthest from all selected ones, the lowest index on exact ties.

    Distances are those of `torch.linalg.norm(features - center, dim=1)`, to the last bit. Nothing is random.

    Args:
        features: (n_points, n_channels) float32 or float64, finite.
        n_centers: How many to select, 1 to n_points. When only copies of selected points are left, 0 is repeated.
        first: Index of the point to start with.
        progress: Show a bar when it takes longer than two seconds.

    Returns:
        (n_centers,) int64 indices in the order of selection.

    Raises:
        ValueError: The features are no matrix of floats, or a number is out of its range.
    """
    features = torch.as_tensor(features).detach()
    if features.ndim != 2 or features.dtype not in (torch.float32, torch.float64):
        msg = (
            f"The features are {features.dtype} of shape {tuple(features.shape)}; expected a float32 or float64 matrix."
        )
        raise ValueError(msg)
    n_points, n_channels = features.shape
    if not (0 <= first < n_points and 1 <= n_centers <= n_points):
        msg = f"Asked for {n_centers} centers from point {first} on; there are {n_points} points, counted from 0."
        raise ValueError(msg)
    if n_centers == 1:
        return np.array([first], np.int64)
    largest = max(abs(float(extreme)) for extreme in features.aminmax())
    if largest**2 * n_channels * 64 > torch.finfo(features.dtype).max:
        # Squared distances come near overflow, and bounds on them would be infinite.
        return _all_distances(features, n_centers, first, progress=progress).numpy()
    return FarthestFirst(features.contiguous(), n_centers, first).run(progress=progress)


def _all_distances(features: torch.Tensor, n_centers: int, first: int, *, progress: bool) -> torch.Tensor:
    """Greedy k-center by every distance to every center, for devices and precisions without bounds; (n_centers,)."""
    index = torch.tensor(first, device=features.device)
    selected = [index]
    nearest: torch.Tensor | None = None  # (n_points,) distance to the nearest selected point
    for _ in tqdm(range(n_centers - 1), desc="Selecting coreset", disable=not progress, delay=2):
        distances = torch.linalg.norm(features - features[index], ord=2, dim=1)
        nearest = distances if nearest is None else torch.minimum(nearest, distances)
        index = nearest.max(dim=0).indices
        nearest[index] = 0.0
        selected.append(index)
    return torch.stack(selected).cpu()


def _n_centers(embedding: torch.Tensor, sampling_ratio: float) -> int:
    if embedding.ndim != 2 or not embedding.is_floating_point() or 0 in embedding.shape:
        msg = (
            f"The embedding is {embedding.dtype} of shape {tuple(embedding.shape)}; expected floating-point numbers "
            "of shape (n_patches, n_channels) with at least one of each."
        )
        raise ValueError(msg)
    if not 0 < sampling_ratio <= 1:
        msg = f"sampling_ratio is {sampling_ratio}; expected a share greater than 0 and at most 1."
        raise ValueError(msg)
    n_centers = int(len(embedding) * sampling_ratio)
    if n_centers == 0:
        msg = (
            f"sampling_ratio {sampling_ratio} of {len(embedding)} patches selects none; "
            f"expected at least {1 / len(embedding):.3g}: raise it or add training pictures."
        )
        raise ValueError(msg)
    return n_centers


def _check_finite(matrix: torch.Tensor, name: str) -> None:
    if matrix.numel() == 0 or all(bool(extreme.isfinite()) for extreme in matrix.aminmax()):
        return  # one pass without a copy: the extremes of what holds a NaN are NaN
    row = next(i for i, values in enumerate(matrix) if not bool(values.isfinite().all()))
    msg = f"{name} is not finite in patch {row} of {len(matrix)}; expected numbers: check pictures and weights."
    raise ValueError(msg)
