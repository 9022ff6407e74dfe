"""Coresets of patch features: stock anomalib's greedy one, much sooner, and others that dirty data harm less."""

import itertools
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch

from extensions.models.patchcore.coreset_methods import dense_patches, medoids, random_patches
from extensions.models.patchcore.coreset_projection import from_numpy, random_projection
from extensions.models.patchcore.coreset_search import Checkpoint, FarthestFirst
from extensions.models.patchcore.coreset_start import check_start, start_by_mean
from extensions.runtime.progress import progress_bar

METHODS = ("greedy", "random", "kmeans", "density")
UNORDERED = ("random", "kmeans")  # they begin with no patch, and measure no projected distance
NESTED = ("greedy", "random")  # a smaller ratio selects the first of what a larger one does


def select_coreset(
    embedding: torch.Tensor | np.ndarray,
    *,
    sampling_ratio: float,
    method: str = "greedy",
    start: str = "random",
    projection: bool = True,
    scratch: Path | None = None,
    checkpoint: Checkpoint | None = None,
    progress: bool = True,
) -> torch.Tensor:
    """Select the patches that stand for all others.

    - `greedy`: each the farthest from those selected before it. Right after `seed_everything(s)` the result equals
      `KCenterGreedy(embedding, sampling_ratio).select_coreset_idxs()` of anomalib right after `seed_everything(s)`,
      index by index; on exact ties the lowest index wins, as there; and a smaller ratio selects the first of what a
      larger one does. The farthest patches are anomalies where there are some. Sener and Savarese, "Active Learning
      for Convolutional Neural Networks: A Core-Set Approach", 2018, https://arxiv.org/abs/1708.00489.
    - `random`: all equally likely, anomalies included; a smaller ratio selects the first of a larger one here, too.
    - `kmeans`: the patch nearest to each centroid, see `medoids`. Time grows as the square of the patches.
    - `density`: greedy among the 85 % of patches that are least isolated, see `dense_patches`.

    The same state of torch's and NumPy's global generators gives the same result, with the same number of threads;
    another one gives the same where a greedy selection starts by the mean and projects nothing.

    Args:
        embedding: (n_patches, n_channels), floating point. Not changed. A memory map (`np.memmap`) is read in parts.
        sampling_ratio: Share of patches to select, in (0, 1]; int(n_patches * sampling_ratio) are selected.
        method: One of `METHODS`.
        start: Of `greedy` and `density`, one of `STARTS`: a `random` patch as in anomalib, the one nearest to the mean
            of all (`center`), or the one `farthest` from it.
        projection: Of `greedy` and `density`: whether distances are those after a sparse random projection, as in
            anomalib, or those of the patches themselves. The projection has 4 log(n_patches) / 0.1620 channels, about
            300: it saves work for embeddings of more, and costs some for those of less.
        scratch: Folder for a temporary file that holds the randomly projected embedding instead of memory; the
            system's for a memory map when None. On the CPU only.
        checkpoint: Where a greedy selection on the CPU is kept every minute, to go on from there. It must be of the
            same embedding, method and state of the random generators.
        progress: Show a bar when it takes longer than two seconds.

    Returns:
        (n_selected,) int64 indices on the CPU, in the order of selection.

    Raises:
        ValueError: The embedding is no finite floating-point matrix, the ratio selects nothing or too much, or there
            is no such method or start.
        OSError: The scratch folder cannot be written, or its disk is full.

    Example:
        >>> embedding = torch.randn(2000, 384)
        >>> bank = embedding[select_coreset(embedding, sampling_ratio=0.01)]
        >>> bank.shape
        torch.Size([20, 384])
    """
    check_method(method)
    check_start(start)
    if isinstance(embedding, np.memmap) and scratch is None:
        scratch = Path(tempfile.gettempdir())
    embedding = from_numpy(embedding) if isinstance(embedding, np.ndarray) else embedding.detach()
    n_centers = _n_centers(embedding, sampling_ratio)
    _check_finite(embedding, "The embedding")
    scratch = scratch if embedding.device.type == "cpu" else None
    greedy = partial(
        _greedy, start=start, projection=projection, scratch=scratch, checkpoint=checkpoint, progress=progress
    )
    with torch.no_grad():
        if method == "greedy":
            return greedy(embedding, n_centers)
        seed = int(torch.randint(high=2**31, size=(1,)))
        if method == "random":
            return random_patches(len(embedding), n_centers, seed)
        if method == "kmeans":
            return medoids(embedding, n_centers, seed)
        rows = dense_patches(embedding, n_centers, seed)
        found = greedy(embedding, n_centers, rows=rows)
        return rows.cpu()[found]


def check_method(method: str) -> str:
    """Return the name of a way to select; ValueError naming all where there is no such."""
    if method not in METHODS:
        msg = f"coreset is {method!r}; expected one of {', '.join(METHODS)}."
        raise ValueError(msg)
    return method


def _greedy(
    embedding: torch.Tensor,
    n_centers: int,
    *,
    start: str,
    projection: bool,
    scratch: Path | None,
    checkpoint: Checkpoint | None,
    progress: bool,
    rows: torch.Tensor | None = None,
) -> torch.Tensor:
    """Greedy k-center of the rows, projected or as they are; (n_centers,) indices into them."""
    if not projection:
        features = embedding if rows is None else embedding[rows]
        first = _first(embedding, start, rows)
        return _selected(features, n_centers, first, checkpoint=checkpoint, progress=progress)
    # A single patch is projected to zero dimensions, where stock divides by their number.
    with np.errstate(divide="ignore", invalid="ignore"):
        # The one place where greedy draws from the global random state: stock does, with these calls in this order,
        # and the same seed must give the same bank.
        features = random_projection(embedding, rows=rows, scratch=scratch)
        first = _first(embedding, start, rows)
    _check_finite(features, "The randomly projected embedding")
    return _selected(features, n_centers, first, checkpoint=checkpoint, progress=progress)


def _first(embedding: torch.Tensor, start: str, rows: torch.Tensor | None) -> int:
    """Where the selection begins, among the rows."""
    if start != "random":
        return start_by_mean(embedding, start, rows=rows)
    n_rows = len(embedding) if rows is None else len(rows)
    return int(torch.randint(high=n_rows, size=(1,), device=embedding.device))


def _selected(
    features: torch.Tensor, n_centers: int, first: int, *, checkpoint: Checkpoint | None, progress: bool
) -> torch.Tensor:
    """Greedy k-center by the way that is quickest for the features' device and type; (n_centers,)."""
    if features.device.type == "cpu" and features.dtype in (torch.float32, torch.float64):
        found = greedy_k_center(features, n_centers, first, checkpoint=checkpoint, progress=progress)
        return torch.from_numpy(found)
    return _all_distances(features, n_centers, first, progress=progress)


def greedy_k_center(
    features: torch.Tensor | np.ndarray,
    n_centers: int,
    first: int,
    *,
    checkpoint: Checkpoint | None = None,
    progress: bool = False,
) -> np.ndarray:
    """Start at one point and add the point farthest from all selected ones, the lowest index on exact ties.

    Distances are those of `torch.linalg.norm(features - center, dim=1)`, to the last bit. Nothing is random.

    Args:
        features: (n_points, n_channels) float32 or float64, finite. A memory map is read in parts, not copied.
        n_centers: How many to select, 1 to n_points. When only copies of selected points are left, 0 is repeated.
        first: Index of the point to start with.
        checkpoint: Where the selection is kept every minute, to go on from there.
        progress: Show a bar when it takes longer than two seconds.

    Returns:
        (n_centers,) int64 indices in the order of selection.

    Raises:
        ValueError: The features are no matrix of floats, or a number is out of its range.
    """
    features = from_numpy(features) if isinstance(features, np.ndarray) else features.detach()
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
    return FarthestFirst(features.contiguous(), n_centers, first).run(progress=progress, checkpoint=checkpoint)


def _all_distances(features: torch.Tensor, n_centers: int, first: int, *, progress: bool) -> torch.Tensor:
    """Greedy k-center by every distance to every center, for devices and precisions without bounds; (n_centers,)."""
    index = torch.tensor(first, device=features.device)
    selected = [index]
    nearest: torch.Tensor | None = None  # (n_points,) distance to the nearest selected point
    for _ in progress_bar(
        range(n_centers - 1), title="Selecting coreset", unit="patch", hidden=not progress, leave=True
    ):
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
            f"expected at least {1 / len(embedding):.3g}: raise it or add training images."
        )
        raise ValueError(msg)
    return n_centers


def _check_finite(matrix: torch.Tensor, name: str) -> None:
    if matrix.numel() == 0 or all(bool(extreme.isfinite()) for extreme in matrix.aminmax()):
        return  # one pass without a copy: the extremes of what holds a NaN are NaN
    parts = ((start, ~part.isfinite().all(dim=1)) for start, part in zip(itertools.count(0, 4096), matrix.split(4096)))
    row = next(start + int(bad.nonzero()[0]) for start, bad in parts if bool(bad.any()))
    msg = f"{name} is not finite in patch {row} of {len(matrix)}; expected numbers: check images and weights."
    raise ValueError(msg)
