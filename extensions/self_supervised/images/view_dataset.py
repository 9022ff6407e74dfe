"""Views of images, drawn from a seed: of all images in one order, or in batches of one class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from extensions.runtime.seeding import seeded

Views = dict[str, torch.Tensor]
ViewMaker = Callable[[np.ndarray, int, Callable[[], np.ndarray]], Views]


class Images(Protocol):
    """Arrays (H, W, 3) uint8 by their index."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> np.ndarray: ...


class ViewDataset(Dataset):
    """Views of images; item `i` is that of the i-th image in this epoch's order, `start` images further on.

    Attributes:
        epoch: Decides the order and all that is drawn.
        start: Images of the epoch that were seen before the run was stopped.
    """

    def __init__(self, images: Images, labels: Sequence[int], make_views: ViewMaker, *, seed: int) -> None:
        self._images, self._labels, self._make_views = images, labels, make_views
        self._seed = seed
        self.epoch, self.start = 0, 0

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, item: int) -> Views:
        index = int(self._order()[(item + self.start) % len(self)])
        rng = np.random.default_rng([self._seed, self.epoch, index])
        with seeded(int(rng.integers(2**32))):
            return self._make_views(self._images[index], self._labels[index], self._others(index, rng))

    def _order(self) -> np.ndarray:
        """Images of this epoch in the order in which they are seen."""
        return np.random.default_rng([self._seed, self.epoch]).permutation(len(self))

    def _others(self, index: int, rng: np.random.Generator) -> Callable[[], np.ndarray]:
        """Draws any image, again and again."""
        return lambda: self._images[int(rng.integers(len(self)))]


class OneClassViews(ViewDataset):
    """Views of images in batches of one class; other images are of the same class, each once, never the image itself.

    Batches are dealt anew in each epoch, and so is their order.
    """

    def __init__(
        self, images: Images, labels: Sequence[int], make_views: ViewMaker, *, seed: int, batch_size: int
    ) -> None:
        super().__init__(images, labels, make_views, seed=seed)
        self._members = {label: np.flatnonzero(np.equal(labels, label)) for label in sorted(set(labels))}
        self._batch_size = batch_size

    def batches(self) -> list[np.ndarray]:
        """The images of each batch of this epoch, as indices."""
        rng = np.random.default_rng([self._seed, self.epoch])
        shuffled = [rng.permutation(members) for members in self._members.values()]
        starts = [(members, first) for members in shuffled for first in range(0, len(members), self._batch_size)]
        dealt = [members[first : first + self._batch_size] for members, first in starts]
        return [dealt[place] for place in rng.permutation(len(dealt))]

    def _order(self) -> np.ndarray:
        return np.concatenate(self.batches())

    def _others(self, index: int, rng: np.random.Generator) -> Callable[[], np.ndarray]:
        members = self._members[self._labels[index]]
        others = iter(rng.permutation(members[members != index]))
        return lambda: self._images[int(next(others))]


class OneClassBatches(Sampler[list[int]]):
    """Items of `OneClassViews` in its batches, from where the epoch goes on; those that were seen come last."""

    def __init__(self, dataset: OneClassViews) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset.batches())

    def __iter__(self) -> Iterator[list[int]]:
        sizes = [len(batch) for batch in self._dataset.batches()]
        ends = np.cumsum(sizes) - self._dataset.start
        spans = [range(end - size, end) for end, size in zip(ends.tolist(), sizes, strict=True)]
        n = len(self._dataset)
        yield from ([item % n for item in span] for span in spans if span.start >= 0)
        yield from ([item % n for item in span] for span in spans if span.start < 0)
