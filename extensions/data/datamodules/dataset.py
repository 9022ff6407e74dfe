"""The dataset class of all our datamodules: a table of images, read by `extensions.data.reading.image_files`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from anomalib import TaskType
from anomalib.data.dataclasses import ImageItem
from anomalib.data.datasets.base.image import AnomalibDataset
from anomalib.data.utils import LabelName
from pandas import DataFrame
from torchvision.transforms.v2 import Transform
from torchvision.transforms.v2.functional import to_dtype, to_image
from torchvision.tv_tensors import Mask

from extensions.data.cutting import filled
from extensions.data.datamodules.lies import lie_of_file
from extensions.data.imaging import Imaging
from extensions.data.reading.antialiased import antialiased_size, resized_unit
from extensions.data.reading.decoded import decoded_images
from extensions.data.reading.image_files import read_image, read_mask
from extensions.data.reading.pixels import read_pixels, unit_image
from extensions.data.straightening import aligned
from extensions.runtime.image_items import batch_class, item_class


class WorkbenchDataset(AnomalibDataset):
    """One split of a data set.

    Args:
        samples: columns ``image_path``, ``mask_path`` ("" without one), ``label_index`` (0 normal, 1 anomalous),
            ``kind`` ("good" or the kind of defect), ``split``.
        name: the data set's name.
        task: with segmentation each item has a mask, all zero for normal images.
        augmentations: applied to image and mask together.
        imaging: how files are read.

    Attributes:
        aligns_masks: whether masks are aligned with their images, as training needs them; else they stay as they are,
            and maps are turned back onto the images as they were taken.
    """

    aligns_masks: bool = False

    def __init__(
        self,
        samples: DataFrame,
        *,
        name: str,
        task: TaskType,
        augmentations: Transform | None = None,
        imaging: Imaging | None = None,
    ) -> None:
        super().__init__(augmentations=augmentations)
        self._name = name
        self._task = task
        self.imaging = imaging or Imaging()
        self.samples = samples.assign(label=samples["kind"])
        self.samples.attrs["task"] = task.value

    @property
    def name(self) -> str:
        """The data set's name."""
        return self._name

    @property
    def task(self) -> TaskType:
        """Segmentation when the data set has masks, else classification."""
        return self._task

    def __getitem__(self, index: int) -> ImageItem:
        """Read one image, see `read_item`."""
        return read_item(self, index)

    @property
    def collate_fn(self) -> Callable[..., Any]:
        """What makes a batch of items."""
        return batch_class(self.imaging.n_channels).collate

    def files_of(self, image_path: str) -> list[str]:
        """The files that decide an image's pixels."""
        return files_of(image_path, self.imaging)


def files_of(image_path: str, imaging: Imaging) -> list[str]:
    """The files that an image is made of, of which the first one names it."""
    return [image_path] if imaging.channels is None else list(map(str, imaging.channels.files_of(image_path)))


def read_item(dataset: AnomalibDataset, index: int) -> ImageItem:
    """Read one image of a data set, and its mask.

    Returns:
        ``image`` (C, H, W) float32 in [0, 1], C of the data set's ``channels``, else 3;
        ``gt_mask`` (H, W) uint8 zeros and ones, None for classification;
        ``gt_label`` 0 or 1; ``image_path``; ``mask_path``. Of images of an unknown label neither mask nor label.
    """
    row = dataset.samples.iloc[index]
    imaging = getattr(dataset, "imaging", None)
    pixels = _pixels(row.image_path, imaging)
    is_known = row.label_index != LabelName.UNKNOWN
    gt_mask = None
    if dataset.task == TaskType.SEGMENTATION:
        is_marked = row.label_index == LabelName.ABNORMAL and row.mask_path
        marks = torch.from_numpy(_marks(dataset, row)) if is_marked else torch.zeros(pixels.shape[:2])
        gt_mask = Mask(marks, dtype=torch.uint8)
    size = antialiased_size(dataset.augmentations) if imaging is None or imaging.is_read_plainly else None
    if size is not None and size != pixels.shape[:2]:
        image = resized_unit(pixels, size)
        gt_mask = None if gt_mask is None else dataset.augmentations(gt_mask)
    else:
        image = _unit(pixels, imaging)
        if dataset.augmentations:
            image, gt_mask = (
                dataset.augmentations(image, gt_mask) if gt_mask is not None else (dataset.augmentations(image), None)
            )
    return item_class(image.shape[0])(
        image=image,
        gt_mask=gt_mask if is_known else None,
        gt_label=torch.tensor(int(row.label_index)) if is_known else None,
        image_path=row.image_path,
        mask_path=row.mask_path,
    )


def _marks(dataset: AnomalibDataset, row: Any) -> np.ndarray:
    marks = read_mask(row.mask_path)
    imaging = getattr(dataset, "imaging", None)
    if imaging is None or imaging.alignment is None or not getattr(dataset, "aligns_masks", False):
        return marks
    return aligned(marks, imaging, lie_of_file(row.image_path, imaging), nearest=True)


def read_unit_image(path: str | Path, imaging: Imaging | None = None) -> torch.Tensor:
    """One image as a detector sees it, before it is brought to size: (C, H, W) float32 in [0, 1]."""
    return _unit(_pixels(path, imaging), imaging)


def _pixels(path: str | Path, imaging: Imaging | None) -> np.ndarray:
    """The same in the numbers in which images are handed over, (H, W, C)."""
    if imaging is not None and not imaging.is_read_plainly:
        pixels = read_pixels(path, imaging)
        if imaging.alignment is not None:
            pixels = aligned(pixels, imaging, lie_of_file(path, imaging, pixels))
        return filled(pixels, imaging)
    found = decoded_images.take(path)
    pixels = read_image(path) if found is None else found
    if imaging is not None and imaging.alignment is not None:
        pixels = aligned(pixels, imaging, lie_of_file(path, imaging, pixels))
    return pixels if imaging is None else filled(pixels, imaging)


def _unit(pixels: np.ndarray, imaging: Imaging | None) -> torch.Tensor:
    if imaging is not None and not imaging.is_read_plainly:
        return unit_image(pixels, imaging)
    return to_dtype(to_image(pixels), torch.float32, scale=True)
