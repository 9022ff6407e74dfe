"""A sheet of what a method learns from: images in rows, their views beside them."""

import numpy as np
import torch

from extensions.self_supervised.fit.pretraining import Pretraining

GAP = 4  # px


def views_sheet(asked: Pretraining, *, n: int = 12) -> np.ndarray:
    """The views of the first images of epoch 0, as they will be seen in training, one row an image.

    Args:
        asked: See `extensions.self_supervised.fit.pretraining.Pretraining`.
        n: Rows.

    Returns:
        (height, width, 3) uint8.

    Raises:
        ValueError: Folders or images that cannot be.
    """
    make_views = asked.method.view_maker(asked.data.image_size)
    asked.data.prepare(make_views, seed=asked.seed, one_class=asked.method.one_class)
    assert asked.data.dataset is not None
    normalize = asked.method.normalization
    mean, std = (torch.tensor(normalize[key])[:, None, None] for key in ("mean", "std"))
    rows = []
    for item in range(min(n, len(asked.data.dataset))):
        views = [view for view in asked.data.dataset[item].values() if view.ndim == 3]
        pixels = [((view * std + mean).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy() for view in views]
        rows.append(np.concatenate([np.pad(view, ((GAP, GAP), (GAP, GAP), (0, 0))) for view in pixels], axis=1))
    return np.concatenate(rows)  # (height, width, 3)
