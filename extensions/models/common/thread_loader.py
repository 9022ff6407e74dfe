"""Batches read ahead by threads of this process, while the network works on those before."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from typing import Any

import torch
from torch.utils.data import DataLoader

from extensions.cache.transform_parts import split_transform
from extensions.data.datamodules.dataset import WorkbenchDataset
from extensions.data.datamodules.stock_datasets import StockImages, StockSplit
from extensions.models.common.threads import compute_on_one_thread

AHEAD = 2  # batches read while another one is used, at least


class ThreadLoader(DataLoader):
    """As `DataLoader`, with threads in place of processes: the same batches, and the same random numbers are drawn.

    Decoding and resizing leave Python to other threads, so nothing is copied between processes, none are started, and
    all threads work on one batch at a time. `num_workers` images are read at once, one where it is 0.
    """

    def __iter__(self) -> Iterator[Any]:
        """Batches in the order of the sampler; what reading raises is raised here."""
        # Stock loaders draw a seed for their workers, so whoever draws next gets the same numbers.
        torch.empty((), dtype=torch.int64).random_(generator=self.generator)
        return self._batches()

    def _batches(self) -> Iterator[Any]:
        n_threads = max(1, self.num_workers)
        waiting: deque[Future[Any]] = deque()
        pool = ThreadPoolExecutor(n_threads, "reader", initializer=compute_on_one_thread)
        try:
            for indices in self.batch_sampler or ():
                images = [pool.submit(self.dataset.__getitem__, index) for index in indices]
                # Begins when all of its images have begun, so it never waits for one that waits for its thread.
                waiting.append(pool.submit(self._joined, images))
                if len(waiting) > max(AHEAD, n_threads):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _joined(self, images: list[Future[Any]]) -> Any:
        return self.collate_fn([image.result() for image in images])


def by_threads(loader: DataLoader) -> DataLoader:
    """A loader that reads the same by threads, or the same one where threads may not.

    They read data sets of image files with nothing random in them, which would be drawn in another order; those of
    tiles are read as their images are needed, for these may be large. A loader that was made with more than data set,
    batches and `num_workers` stays as it is.
    """
    dataset = loader.dataset
    is_plain = type(loader) is DataLoader and loader.batch_sampler is not None and not loader.pin_memory
    is_plain = is_plain and not (loader.timeout or loader.worker_init_fn or loader.multiprocessing_context)
    if not is_plain or type(dataset) not in (WorkbenchDataset, StockSplit, StockImages):
        return loader
    transform = dataset.transform if isinstance(dataset, StockImages) else dataset.augmentations
    if dataset.imaging.tiling is not None or split_transform(transform) is None:
        return loader
    other = copy(loader)  # a new one would need to know what the loader was made with
    other.__class__ = ThreadLoader
    return other
