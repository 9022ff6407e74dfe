"""Images of one split: decoded and brought to size once, whoever asks for them again."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from anomalib import TaskType
from anomalib.data.dataclasses import ImageBatch, ImageItem
from torch.utils.data import Dataset
from torchvision.transforms.v2 import Compose
from torchvision.transforms.v2.functional import to_dtype
from torchvision.tv_tensors import Mask

from extensions.cache.store import WorkCache, key_of
from extensions.cache.transform_parts import transform_repr
from extensions.runtime.image_items import batch_class, item_class

if TYPE_CHECKING:
    from anomalib.data.datasets.base.image import AnomalibDataset
    from torchvision.transforms.v2 import Transform

MAPPED = 10_000  # images; a process may map some ten thousand files
READER = 3  # raised when a reader gives other pixels for the same file
MASK_READER = 3  # the same for masks


class FileContent(Protocol):
    """What one file holds; `size` is (width, height) px."""

    @property
    def sha256(self) -> str: ...  # noqa: D102

    @property
    def size(self) -> tuple[int, int] | None: ...  # noqa: D102


class Inspect(Protocol):
    """Tells the content of files, such as `extensions.data.checks.inspection.inspect_files`."""

    def __call__(self, paths: Sequence[str], *, masks: bool = False) -> Mapping[str, FileContent]: ...  # noqa: D102


class ImageSplit(Dataset):
    """A split of an anomalib datamodule whose images come from the cache, or go there when they are first needed.

    Args:
        dataset: Of the datamodule.
        cache: Where images and masks are kept.
        fixed: What is done to image and mask once; it must not be random.
        inspect: Tells the content of the files, by which images are found again.
        augmentations: Done each time and before `fixed`; then images are kept as they were decoded.
        augmented_later: Whether what is given is augmented afterwards, by the trainer's callbacks.
    """

    def __init__(
        self,
        dataset: AnomalibDataset,
        cache: WorkCache,
        fixed: Transform | None,
        *,
        inspect: Inspect,
        augmentations: Transform | None = None,
        augmented_later: bool = False,
    ) -> None:
        self.cache = cache
        self.samples = dataset.samples
        self.paths = [str(path) for path in dataset.samples["image_path"]]
        columns = (dataset.samples[name] for name in ("label_index", "image_path", "mask_path"))
        self._rows = [(int(label), path, mask_path) for label, path, mask_path in zip(*columns, strict=True)]
        self.with_pixels = True
        self.is_augmented = augmentations is not None or augmented_later
        self.is_repeated = False  # whether images will be asked for many times: then their files stay open
        self._mapped: dict[int, np.ndarray] = {}
        self._dataset = copy.copy(dataset)
        self._dataset.augmentations = None if augmentations is not None else fixed
        self._after = Compose([augmentations, *([fixed] if fixed else [])]) if augmentations is not None else None
        self._has_masks = dataset.task == TaskType.SEGMENTATION
        self._shape: tuple[int, int] | None = None  # (height, width) px, of an image whose pixels are not asked for
        imaging = getattr(dataset, "imaging", None)
        self.n_channels = 3 if imaging is None else int(imaging.n_channels)
        region = getattr(imaging, "region", None)
        alignment = getattr(imaging, "alignment", None)
        how = key_of(
            transform=transform_repr(self._dataset.augmentations),
            reader=f"{type(dataset).__module__}.{type(dataset).__name__}",
            version=READER,
            **({"region": region.sha256} if region is not None else {}),
            **({"imaging": repr(imaging)} if imaging is not None and not imaging.is_read_plainly else {}),
            **({"alignment": [alignment.sha256, bool(getattr(dataset, "aligns_masks", False))]} if alignment else {}),
        )
        marked = self._marked()
        files_of = getattr(dataset, "files_of", lambda path: [path])
        parts = {path: files_of(path) for path in self.paths}
        facts = inspect([*self.paths, *(file for files in parts.values() for file in files[1:])])
        masks = inspect(sorted(set(filter(None, marked))), masks=True)
        self.is_uniform = len({facts[path].size for path in self.paths}) == 1
        contents = ["+".join(facts[file].sha256 for file in parts[path]) for path in self.paths]
        self.keys = [key_of(image=content, how=how) for content in contents]
        self.mask_keys = [
            key_of(mask=masks[path].sha256, how=how, version=MASK_READER) if path else "" for path in marked
        ]

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Image (C, H, W) float32 and mask (H, W) uint8, None where there is none; decoded when it is not cached."""
        image = self._image(index)
        mask = self.cache.get("masks", self.mask_keys[index]) if self.mask_keys[index] else None
        if image is not None and (mask is not None or not self.mask_keys[index]):
            return _to_unit(image), mask
        item = self._dataset[index]
        image = np.asarray(item.image, np.float32)
        narrow = np.rint(image * 255).astype(np.uint8)  # takes a quarter of the space, if the image has 8 bits
        self.cache.put("images", self.keys[index], narrow if np.array_equal(_to_unit(narrow), image) else image)
        if self.mask_keys[index]:
            mask = np.asarray(item.gt_mask, np.uint8)
            self.cache.put("masks", self.mask_keys[index], mask)
        return image, mask

    def _image(self, index: int) -> np.ndarray | None:
        """From the cache, without opening its file again where that is worth it."""
        image = self._mapped.get(index)
        if image is None:
            image = self.cache.get("images", self.keys[index])
            if self.is_repeated and image is not None and len(self._mapped) < MAPPED:
                self._mapped[index] = image
        return image

    def is_cached(self, index: int) -> bool:
        """Whether `load` would decode nothing; marks image and mask as used."""
        return self.cache.has("images", self.keys[index]) and self.has_mask(index)

    def has_mask(self, index: int) -> bool:
        """Whether the mask is cached, or there is none; marks it as used."""
        return not self.mask_keys[index] or self.cache.has("masks", self.mask_keys[index])

    def __getitem__(self, index: int) -> ImageItem:
        """One image; without its pixels when `with_pixels` is off: then `image` is (C, 1, 1)."""
        image: torch.Tensor = torch.zeros(self.n_channels, 1, 1)
        mask = None
        if not self.with_pixels and self._shape is not None and self.mask_keys[index]:
            mask = self.cache.get("masks", self.mask_keys[index])
        if self.with_pixels or self._shape is None or (mask is None and self.mask_keys[index]):
            pixels, mask = self.load(index)
            self._shape = (pixels.shape[1], pixels.shape[2])
            if self.with_pixels:
                image = torch.from_numpy(np.array(pixels))
        gt_mask = None
        if self._has_masks:
            # What a batch holds in the end are booleans; augmentations get what the data set gives them.
            marks = torch.zeros(self._shape, dtype=torch.uint8) if mask is None else torch.from_numpy(np.array(mask))
            gt_mask = Mask(marks if self._after is not None else marks.bool())
        if self._after is not None:
            image, gt_mask = self._after(image, gt_mask) if gt_mask is not None else (self._after(image), None)
        label, path, mask_path = self._rows[index]
        return item_class(self.n_channels)(
            image=image,
            gt_mask=gt_mask,
            gt_label=torch.tensor(label),
            image_path=path,
            mask_path=mask_path,
        )

    def collate_fn(self, items: list[ImageItem]) -> ImageBatch:
        """A batch; images without pixels take no memory but have their size."""
        batch = batch_class(self.n_channels).collate(items)
        if not self.with_pixels:
            assert self._shape is not None
            batch.image = batch.image[:1].expand(len(items), self.n_channels, *self._shape)
        return batch

    @property
    def task(self) -> TaskType:
        """As the data set's."""
        return self._dataset.task

    @property
    def name(self) -> str:
        """As the data set's."""
        return self._dataset.name

    def _marked(self) -> list[str]:
        """The mask file of each image that has one, else an empty text."""
        if not self._has_masks:
            return [""] * len(self.paths)
        rows: Any = zip(self.samples["mask_path"], self.samples["label_index"], strict=True)
        return [str(path) if label == 1 and path else "" for path, label in rows]


def _to_unit(image: np.ndarray) -> np.ndarray:
    """8 bits to float32 in [0, 1], as data sets do."""
    if image.dtype != np.uint8:
        return image
    return to_dtype(torch.from_numpy(np.array(image)), torch.float32, scale=True).numpy()
