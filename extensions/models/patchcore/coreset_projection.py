"""The random projection before a greedy coreset, in memory or, a chunk at a time, into a file."""

import itertools
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from anomalib.models.components import SparseRandomProjection

CHUNK_ROWS = 2**14


def random_projection(
    embedding: torch.Tensor, *, rows: torch.Tensor | None = None, scratch: Path | None = None
) -> torch.Tensor:
    """Project patches as stock anomalib does, drawing from the global random state with its calls in its order.

    Li, Hastie and Church, "Very Sparse Random Projections", 2006, https://doi.org/10.1145/1150402.1150436.

    Args:
        embedding: (n_patches, n_channels).
        rows: (n_rows,) indices of the patches to project; None for all.
        scratch: Folder for a file that holds the result instead of memory, 4 bytes a number. The file has no name: it
            is gone when the result is, or the process. Chunks of thousands of rows give the bits of one product on
            the BLAS libraries tried; none of them promises it.

    Returns:
        (n_rows, about 296 for 163,856 patches), of the embedding's type; read only where it is a file.

    Raises:
        OSError: The scratch folder cannot be written, or its disk is full.
    """
    projection = SparseRandomProjection(eps=0.9).fit(embedding)
    if rows is None and scratch is None:
        return projection.transform(embedding)
    n_rows = len(embedding) if rows is None else len(rows)
    # Pieces of almost equal size: a short last one would be multiplied by another kernel.
    bounds = np.linspace(0, n_rows, max(1, round(n_rows / CHUNK_ROWS)) + 1).astype(int).tolist()
    chunks = (
        projection.transform(embedding[start:end] if rows is None else embedding[rows[start:end]])
        for start, end in itertools.pairwise(bounds)
    )
    shape = (n_rows, int(projection.n_components))
    if scratch is None:
        projected = embedding.new_empty(shape)
        for (start, end), chunk in zip(itertools.pairwise(bounds), chunks, strict=True):
            projected[start:end] = chunk
        return projected
    with tempfile.TemporaryFile(dir=scratch, prefix="projection-") as file:
        # Written, not assigned through the map: there a full disk would kill the process.
        for chunk in chunks:
            file.write(chunk.numpy().data)
        file.flush()
        return from_numpy(np.memmap(file, chunk.numpy().dtype, "r", shape=shape))


def from_numpy(array: np.ndarray) -> torch.Tensor:
    """Share the memory of an array, or of a map that may be read only: nothing here writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
