"""Where evidence comes from: the frozen features of all training images, and the detector of the round."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from extensions.refinement.evidence import Evidence
from extensions.refinement.loop import Trained, injected_mask, training_names, with_training

if TYPE_CHECKING:
    import torch
    from anomalib.data import AnomalibDataModule

    from extensions.refinement.patch_neighbors import PatchNeighbors
    from extensions.refinement.training_features import TrainingFeatures

BATCH = 32
VIEWS_SEED = 0


class Sources:
    """Gives `refine` the evidence of a round: features that were computed once, answers of the round's detector.

    Args:
        features: Of all training images.
        datamodule: Set up; its training images are those of the features.
    """

    def __init__(self, features: TrainingFeatures, datamodule: AnomalibDataModule) -> None:
        self._features = features
        self._datamodule = datamodule
        self._names = training_names(datamodule)
        self._injected = injected_mask(datamodule)
        self._neighbors: PatchNeighbors | None = None

    def __call__(self, kept: np.ndarray, trained: Trained | None, rng: np.random.Generator) -> Evidence:
        """The evidence on the kept images."""
        model: Any = trained.model if trained is not None else None
        contrastive = views = discrepancy = None
        if hasattr(model, "embed"):
            contrastive = partial(self._ask, model, kept, model.embed)
            views = partial(self._ask, model, kept, partial(_embedded_views, model), axis=1)
        if hasattr(model, "discrepancy"):
            discrepancy = partial(self._ask, model, kept, model.discrepancy)
        return Evidence(
            names=[self._names[index] for index in kept],
            patches=lambda: self._features.patches[kept],
            neighbors=self._patch_neighbors,
            embeddings=lambda: self._features.embeddings[kept],
            injected=None if self._injected is None else self._injected[kept],
            temperature=getattr(model, "temperature", 0.5),
            rng=rng,
            contrastive=contrastive,
            views=views,
            discrepancy=discrepancy,
        )

    def _patch_neighbors(self, rng: np.random.Generator) -> PatchNeighbors:
        """Those of all images: found in the first round that asks, they serve the others, too."""
        from extensions.refinement.patch_neighbors import PatchNeighbors

        if self._neighbors is None:
            self._neighbors = PatchNeighbors(self._features.patches, self._names, rng=rng)
        return self._neighbors

    def _ask(
        self, model: Any, kept: np.ndarray, question: Callable[[torch.Tensor], torch.Tensor], *, axis: int = 0
    ) -> np.ndarray:
        """What the detector says of the kept images, in batches that are put side by side along the axis."""
        import torch

        with torch.no_grad():
            answers = [question(images).float().cpu().numpy() for images in self._batches(model, kept)]
        return np.concatenate(answers, axis=axis)

    def _batches(self, model: Any, kept: np.ndarray) -> Iterator[torch.Tensor]:
        """Batches of the kept images, in order, as the detector's network gets them, without augmentations."""
        import torch

        from extensions.data.datamodules.stock_datasets import read_as_ours

        data = read_as_ours(with_training(self._datamodule, kept).train_data)
        data.augmentations = None
        transform = getattr(model.pre_processor, "transform", None)
        for start in range(0, len(data), BATCH):
            images = [data[index].image for index in range(start, min(start + BATCH, len(data)))]
            images = [transform(image[None]) if transform is not None else image[None] for image in images]
            yield torch.cat(images).to(model.device)


def _embedded_views(model: Any, images: torch.Tensor) -> torch.Tensor:
    """Embeddings of two random views of each image, (2, N, K)."""
    import torch

    return torch.stack([model.embed(part) for part in model.views(images, seed=VIEWS_SEED)])
