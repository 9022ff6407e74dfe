"""Scores and maps of several views of the same images, as one."""

from collections.abc import Sequence

import torch

from extensions.transforms.geometry import warp_back

Matrices = Sequence[torch.Tensor | None]


def merge_scores(scores: torch.Tensor, *, how: str) -> torch.Tensor:
    """Merge over views: (V, N) -> (N,).

    Args:
        scores: Of each view.
        how: `mean` or `max`.
    """
    return scores.amax(dim=0) if how == "max" else scores.mean(dim=0)


def merge_maps(maps: Sequence[torch.Tensor], matrices: Sequence[Matrices], *, how: str) -> torch.Tensor:
    """Move each map back to its image and merge, at each pixel, the views that show it.

    Args:
        maps: Of V views, each (N, ..., H, W). One view at least moves nothing, so that each pixel is shown.
        matrices: For each view those of its N images, None where no pixel moved.
        how: `mean` or `max`.

    Returns:
        (N, ..., H, W).
    """
    merged = torch.zeros_like(maps[0]) if how == "mean" else torch.full_like(maps[0], -torch.inf)
    n_seen = torch.zeros_like(maps[0])
    for view, moved in zip(maps, matrices, strict=True):
        for number, matrix in enumerate(moved):
            if matrix is None:
                placed, seen = view[number], torch.ones_like(view[number], dtype=torch.bool)
            else:
                placed, seen = warp_back(view[number], matrix)
                seen = seen.expand_as(placed)
            if how == "mean":
                merged[number] += torch.where(seen, placed, 0.0)
                n_seen[number] += seen
            else:
                merged[number] = torch.where(seen, torch.maximum(merged[number], placed), merged[number])
    return merged / n_seen if how == "mean" else merged
