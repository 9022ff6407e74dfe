"""Which patch a greedy coreset begins with."""

import torch

STARTS = ("random", "center", "farthest")
CHUNK_ROWS = 2**14  # patches held at once beside the embedding


def check_start(start: str) -> str:
    """Return the name of a start; ValueError naming all where there is no such."""
    if start not in STARTS:
        msg = f"coreset_start is {start!r}; expected one of {', '.join(STARTS)}."
        raise ValueError(msg)
    return start


def start_by_mean(embedding: torch.Tensor, start: str, *, rows: torch.Tensor | None = None) -> int:
    """The patch that is nearest to the mean of all, or farthest from it.

    The mean does not depend on the order of the patches but by rounding, so neither does the start; on exact ties the
    first wins. Gonzalez, "Clustering to Minimize the Maximum Intercluster Distance", 1985,
    https://doi.org/10.1016/0304-3975(85)90224-5, leaves it free where a farthest-first traversal begins: its radius is
    at most twice the best from any.

    Args:
        embedding: (n_patches, n_channels).
        start: `center` for the nearest, `farthest` for the farthest.
        rows: (n_rows,) indices of the patches that count; None for all.

    Returns:
        Its place among those that count.
    """
    n_rows = len(embedding) if rows is None else len(rows)
    pieces = [slice(first, first + CHUNK_ROWS) for first in range(0, n_rows, CHUNK_ROWS)]

    def part(piece: slice) -> torch.Tensor:
        found: torch.Tensor = embedding[piece if rows is None else rows[piece]]
        return found.double()

    mean = torch.stack([part(piece).sum(dim=0) for piece in pieces]).sum(dim=0) / n_rows  # (n_channels,)
    squares = torch.cat([(part(piece) - mean).square().sum(dim=1) for piece in pieces])  # (n_rows,)
    return int(squares.argmin() if start == "center" else squares.argmax())
