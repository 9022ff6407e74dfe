"""A datamodule of image folders for pretraining: decoded once, views drawn from a seed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from lightning.pytorch import LightningDataModule
from PIL import Image
from torch.utils.data import DataLoader

from extensions.configuration.checked_values import check_values
from extensions.data.checks.remarks import of_one, sentences
from extensions.data.errors import warn_once
from extensions.data.reading.image_files import read_stored
from extensions.data.reading.stored import Stored
from extensions.runtime.progress import progress_bar
from extensions.self_supervised.images.image_list import ImageList, find_images
from extensions.self_supervised.images.view_dataset import OneClassBatches, OneClassViews, ViewDataset, ViewMaker

MEMORY = 4 * 2**30  # bytes of decoded images that are kept
STORED = 1.5  # times the size of a view: what the shorter side is reduced to when decoded


class ImageFolders(LightningDataModule):
    """Images to learn from, in folders: one class a subfolder, or none.

    They are decoded once, reduced to 1.5 times the size of a view and kept in memory as long as they fit into 4 GiB.
    What is drawn for an image depends on the seed, the epoch and the image alone: not on the number of workers, and
    a run that was stopped goes on as if it had not been.

    Args:
        folders: Of images.
        image_size: Height and width in px of a view.
        batch_size: Images in a batch; the last, smaller one of an epoch is left out.
        num_workers: Processes that make views; 0 makes them in this one.
        data_root: Where relative folders start; None for `$WORKBENCH_DATA`, else the working directory.
        subfolder: Of each class, such as `train/good`: only images in it are taken. None takes all.
        leave_out: Classes not to learn from, such as the product that is to be tested.

    Raises:
        ValueError: Numbers out of range, or a subfolder that is no relative path.

    Example:
        >>> data = ImageFolders(["pretraining_pool"], image_size=96, batch_size=128)
    """

    def __init__(
        self,
        folders: Sequence[str],
        *,
        image_size: int = 96,
        batch_size: int = 128,
        num_workers: int = 2,
        data_root: str | Path | None = None,
        subfolder: str | None = None,
        leave_out: Sequence[str] = (),
    ) -> None:
        super().__init__()
        check_values(
            image_size=(image_size, image_size >= 8, "8 or more"),
            batch_size=(batch_size, batch_size >= 2, "2 or more"),
            num_workers=(num_workers, num_workers >= 0, "0 or more"),
            subfolder=(subfolder, subfolder is None or _is_inside(subfolder), "a relative path such as train/good"),
            leave_out=(
                leave_out,
                leave_out is not None and not isinstance(leave_out, str),
                "a list of classes, such as [bottle]",
            ),
        )
        self.folders, self.data_root, self.image_size = list(folders), data_root, image_size
        self.batch_size, self.num_workers = batch_size, num_workers
        self.subfolder, self.leave_out = subfolder, tuple(leave_out)
        self.found: ImageList | None = None
        self.dataset: ViewDataset | None = None
        self.n_seen = 0

    def prepare(self, make_views: ViewMaker, *, seed: int, one_class: bool = False) -> None:
        """Find and decode the images.

        Args:
            make_views: Makes of each what the model learns from.
            seed: Of all draws.
            one_class: Whether a batch, and the other images that `make_views` draws, are of one class; then the last
                batch of a class is smaller and not left out.

        Raises:
            ValueError: Folders without images, fewer of them than a batch, or images that cannot be read.
        """
        self.found = find_images(self.folders, self.data_root, subfolder=self.subfolder, leave_out=self.leave_out)
        if len(self.found) < self.batch_size and not one_class:
            msg = (
                f"found {len(self.found)} images in {', '.join(self.folders)}, fewer than a batch of "
                f"{self.batch_size}; set data.init_args.batch_size to {len(self.found)} or less, or add images"
            )
            raise ValueError(msg)
        stored = round(STORED * self.image_size)
        images, labels = Decoded(self.found.paths, stored), self.found.labels
        if one_class:
            self.dataset = OneClassViews(images, labels, make_views, seed=seed, batch_size=self.batch_size)
        else:
            self.dataset = ViewDataset(images, labels, make_views, seed=seed)

    def go_on(self, epoch: int, n_seen: int) -> None:
        """Begin within an epoch: after so many of its batches, in each process.

        Known before the trainer restores a checkpoint, because by then it has asked for batches.
        """
        assert self.dataset is not None, "call prepare first"
        self.dataset.epoch, self.n_seen = epoch, n_seen

    def train_dataloader(self) -> DataLoader:
        """Batches in the order that the epoch draws; in distributed training each process gets its share of them."""
        assert self.dataset is not None, "call prepare first"
        workers: dict[str, Any] = {"num_workers": self.num_workers}
        if self.num_workers:
            workers["multiprocessing_context"] = "fork" if os.name == "posix" else None
        if isinstance(self.dataset, OneClassViews):
            batches = self.dataset.batches
            self.dataset.start = sum(map(len, batches()[: self.n_seen % len(batches())]))
            return DataLoader(self.dataset, batch_sampler=OneClassBatches(self.dataset), **workers)
        if self.trainer is not None and self.n_seen:
            n_seen = self.n_seen % max(1, len(self.dataset) // (self.batch_size * self.trainer.world_size))
            self.dataset.start = n_seen * self.batch_size * self.trainer.world_size
        return DataLoader(self.dataset, batch_size=self.batch_size, drop_last=True, pin_memory=False, **workers)


class Decoded:
    """Images as arrays (H, W, 3) uint8, the shorter side reduced to some px; kept while they fit into memory.

    Warns of files that do not use their 16 bits or have several pages; of too many to be kept when the first is read.

    Raises:
        ValueError: Some cannot be read; the first are named. Of too many images to be kept each is read when needed,
            and the error comes then.
    """

    def __init__(self, paths: Sequence[Path], side: int) -> None:
        self._paths, self._side = list(paths), side
        self._kept: list[np.ndarray] | None = None
        self._is_told = False
        if len(self._paths) * side * side * 3 * 1.4 <= MEMORY:
            self._kept = self._decode_all()

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> np.ndarray:
        if self._kept is not None:
            return self._kept[index]
        image, stored = self._decode(index)
        if stored != Stored() and not self._is_told:
            self._is_told = True
            warn_once(f"{self._paths[index]}, and perhaps others: {' '.join(of_one(stored))}")
        return image

    def _decode(self, index: int) -> tuple[np.ndarray, Stored]:
        image, stored = read_stored(self._paths[index])
        height, width = image.shape[:2]
        scale = self._side / min(height, width)
        if scale >= 1:
            return image, stored
        size = (max(self._side, round(width * scale)), max(self._side, round(height * scale)))
        resized = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        return np.asarray(resized), stored

    def _decode_all(self) -> list[np.ndarray]:
        def attempt(index: int) -> tuple[np.ndarray, Stored] | str:
            try:
                return self._decode(index)
            except (OSError, ValueError) as error:
                return str(error)

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            work = pool.map(attempt, range(len(self)))
            found = list(progress_bar(work, total=len(self), title="decoding", unit="image", leave=True))
        if wrong := [text for text in found if isinstance(text, str)]:
            rest = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            msg = f"{len(wrong)} of {len(self)} images cannot be read: {'; '.join(wrong[:3])}{rest}; remove them"
            raise ValueError(msg)
        read = [one for one in found if not isinstance(one, str)]
        remarked = {index: stored for index, (_, stored) in enumerate(read) if stored != Stored()}
        for sentence in sentences({str(self._paths[i]): one for i, one in remarked.items()}, n_files=len(self)):
            warn_once(sentence)
        return [image for image, _ in read]


def _is_inside(subfolder: str) -> bool:
    path = PurePosixPath(subfolder)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts
