"""A split whose items are tiles of images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numpy as np
import torch
from anomalib import TaskType
from anomalib.data.dataclasses import ImageItem
from anomalib.data.datasets.base.image import AnomalibDataset
from pandas import DataFrame
from torchvision.transforms.v2 import Transform
from torchvision.tv_tensors import Mask

from extensions.data.channels import RGB
from extensions.data.checks.inspection import inspect_files
from extensions.data.cutting import Cut, cut_of
from extensions.data.datamodules.dataset import WorkbenchDataset
from extensions.data.datamodules.whole_images import WholeImages
from extensions.data.errors import DatasetError
from extensions.data.imaging import Imaging
from extensions.data.reading.pixels import read_parts, unit_image
from extensions.data.tiling.settings import Tiling
from extensions.runtime.image_items import item_class


class TiledDataset(WorkbenchDataset):
    """One split of a data set, tile by tile: `samples` has a row an image, the length is that of all tiles.

    A tile of a known defect is a defect where its mask has a pixel; where an image has no mask, all its tiles are what
    it is.

    Args:
        samples: See `WorkbenchDataset`.
        name: The data set's name.
        task: See `WorkbenchDataset`.
        imaging: How files are read and cut; its `tiling` is set.
        augmentations: Applied to a tile and its mask together.
    """

    gives_tiles: ClassVar[bool] = True

    def __init__(
        self,
        samples: DataFrame,
        *,
        name: str,
        task: TaskType,
        imaging: Imaging,
        augmentations: Transform | None = None,
    ) -> None:
        assert imaging.tiling is not None
        self.tiling = imaging.tiling
        self._whole = WholeImages(imaging)
        self._firsts: np.ndarray | None = None
        super().__init__(samples, name=name, task=task, augmentations=augmentations, imaging=imaging)

    @property
    def samples(self) -> DataFrame:
        """A row an image."""
        return super().samples

    @samples.setter
    def samples(self, samples: DataFrame) -> None:
        self._firsts = None  # of other images
        AnomalibDataset.samples.fset(self, samples)

    @property
    def firsts(self) -> np.ndarray:
        """Number of the first tile of each image, and of all tiles: (n_images + 1,)."""
        if self._firsts is None:
            paths = self.samples["image_path"].astype(str).tolist()
            sizes = sizes_of(paths, self._whole.imaging)
            counts = {size: len(cut_of(self.imaging, size).kept) for size in set(sizes.values())}
            of_image = [counts[size] for size in sizes.values()]
            self._firsts = np.concatenate([[0], np.cumsum(of_image, dtype=np.int64)])
        return self._firsts

    def __len__(self) -> int:
        return int(self.firsts[-1])

    def __getitem__(self, index: int) -> ImageItem:
        """One tile: `image` (C, h, w) float32 in [0, 1], and the rest as `read_item` gives it of the image."""
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        place = int(np.searchsorted(self.firsts, index, side="right")) - 1
        row = self.samples.iloc[place]
        whole = self._whole.image(str(row.image_path))
        cut = self._cut(str(row.image_path))
        tile = cut.kept[index - int(self.firsts[place])]
        box = cut.grid.box(tile)
        image: Any = unit_image(np.ascontiguousarray(cut.tile(whole, tile)), self.imaging)
        label, mask = int(row.label_index), None
        if self.task == TaskType.SEGMENTATION:
            marks = np.zeros(self.tiling.tile, np.uint8)
            if label and row.mask_path:
                marks = np.array(self._whole.mask(str(row.mask_path))[box])
                if cut.inside is not None:
                    marks *= cut.inside[box]
                label = int(marks.any())
            mask = Mask(torch.from_numpy(marks), dtype=torch.uint8)
        if self.augmentations is not None:
            image, mask = self.augmentations(image, mask) if mask is not None else (self.augmentations(image), None)
        return item_class(image.shape[0])(
            image=image,
            gt_mask=mask,
            gt_label=torch.tensor(label),
            image_path=row.image_path,
            mask_path=row.mask_path,
        )

    def _cut(self, path: str) -> Cut:
        return cut_of(self.imaging, sizes_of([path], self.imaging)[path])

    def whole(self) -> WorkbenchDataset:
        """The same images, not cut."""
        found = WorkbenchDataset(self.samples, name=self.name, task=self.task, imaging=self.imaging)
        found.samples.attrs.update(self.samples.attrs)
        return found


def sizes_of(paths: list[str], imaging: Imaging) -> dict[str, tuple[int, int]]:
    """Height and width in px of each image file that can be read, by path."""
    if not imaging.is_read_plainly:
        return {path: read_parts(path, imaging.channels)[0].shape[:2] for path in paths}
    facts = inspect_files(paths)
    return {path: facts[path].size[::-1] for path in paths if facts[path].size is not None}  # type: ignore[index]


def check_fill(imaging: Imaging, *, name: str) -> None:
    """Refuse a region of interest in tiles of images of one or two channels, of which no color stands for outside.

    Raises:
        DatasetError: It names the data set.
    """
    if imaging.tiling is not None and imaging.region is not None and imaging.n_channels < RGB:
        msg = (
            f"data set {name!r} has tiling, a region of interest and images of {imaging.n_channels} channels; expected "
            f"{RGB} or more: leave channels out (gray images are given as {RGB}), or one of the two"
        )
        raise DatasetError(msg)


def check_resize(tiling: Tiling | None, *, plainly: bool, name: str) -> None:
    """Refuse to resize images before they are cut that are not read as 8 bits of RGB.

    Raises:
        ValueError: It names the data set.
    """
    if tiling is not None and tiling.resize is not None and not plainly:
        msg = (
            f"data set {name!r} has range or channels, and tiling.resize, which is done in 8 bits of RGB: leave resize "
            "out, or resize the files"
        )
        raise ValueError(msg)


def check_tiles(
    tiling: Tiling | None, paths: Iterable[str], *, name_of: Callable[[str], str], imaging: Imaging
) -> None:
    """Refuse images that are smaller than a tile.

    Raises:
        DatasetError: It names the first one.
    """
    if tiling is None:
        return
    sizes = sizes_of(list(map(str, paths)), imaging)
    small = [path for path, size in sizes.items() if not tiling.fits(size)]
    if small:
        others = f" ({len(small)} images of {len(sizes)} are)" if len(small) > 1 else ""
        msg = f"{name_of(small[0])} is {tiling.too_small(sizes[small[0]])}{others}"
        raise DatasetError(msg)
