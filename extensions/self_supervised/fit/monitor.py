"""Does it learn? Nearest neighbors among labelled images, every few epochs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torchvision.transforms.v2.functional import normalize, resize, to_dtype

from extensions.models.common.training_pass import evaluating
from extensions.self_supervised.methods.method import Method
from extensions.self_supervised.probe.linear_probe import knn_accuracy
from extensions.self_supervised.probe.probe_data import read_probe_data

if TYPE_CHECKING:
    from extensions.self_supervised.probe.probe_data import LabelledImages

BATCH_SIZE = 64


class KnnMonitor:
    """Accuracy of a vote of the 20 nearest neighbors, by the encoder's pooled output; nothing is trained for it.

    Wu, Xiong, Yu, Lin, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", 2018,
    https://arxiv.org/abs/1805.01978, as `extensions.self_supervised.probe` computes it. To watch a
    pretraining by: choosing settings by it is choosing them on these test images.

    Args:
        root: Folder with train/<class> and test/<class>.
        image_size: Height and width in px.
        every_n_epochs: Epochs between two looks; the first is after the first epoch.
        data_root: Where a relative root starts; None for `$WORKBENCH_DATA`, else the working directory.

    Raises:
        ValueError: Not such a folder, or a number out of range.
    """

    def __init__(self, root: str | Path, *, image_size: int, every_n_epochs: int = 1, data_root: Any = None) -> None:
        if not isinstance(every_n_epochs, int) or every_n_epochs < 1:
            msg = f"knn.every_n_epochs is {every_n_epochs!r}; expected a whole number, 1 or more"
            raise ValueError(msg)
        data = read_probe_data(root, data_root=data_root)
        self._splits = (data.splits["train"], data.splits["test"])
        self._image_size, self._every = image_size, every_n_epochs

    def __call__(self, method: Method, epoch: int) -> dict[str, float]:
        """`knn_top1` of the encoder as it is after an epoch, counted from 1; nothing when no look is due."""
        if (epoch - 1) % self._every:
            return {}
        train, test = (self._features(method, split) for split in self._splits)
        return {"knn_top1": knn_accuracy(train, self._splits[0].labels, test, self._splits[1].labels)}

    def _features(self, method: Method, split: LabelledImages) -> np.ndarray:
        """(N, K) pooled output, in eval mode."""
        with evaluating(method.encoder):
            parts = [method.encoder(batch.to(method.device)).float().cpu() for batch in self._batches(method, split)]
        features = torch.cat(parts)
        return (features.mean(dim=(2, 3)) if features.ndim == 4 else features).numpy()  # of a registration maps

    def _batches(self, method: Method, split: LabelledImages) -> Iterator[torch.Tensor]:
        settings: dict[str, Any] = method.normalization
        side = [self._image_size, self._image_size]
        for start in range(0, len(split), BATCH_SIZE):
            images = [split.read(index) for index in range(start, min(start + BATCH_SIZE, len(split)))]
            pixels = [torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in images]
            resized = [resize(to_dtype(p, torch.float32, scale=True), side, antialias=True) for p in pixels]
            yield normalize(torch.stack(resized), **settings)
