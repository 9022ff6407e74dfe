"""anomalib's own datasets, whose files are read as those of our datamodules are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anomalib import TaskType
from anomalib.data import AnomalibDataset, ImageItem, PredictDataset
from anomalib.data.utils.synthetic import SyntheticAnomalyDataset
from torch.utils.data import ConcatDataset, Dataset, Subset

from extensions.data.checks.remarks import tell_remarks
from extensions.data.datamodules.dataset import files_of, read_item, read_unit_image
from extensions.data.errors import warn_once
from extensions.data.imaging import Imaging
from extensions.data.reading.image_files import IMAGE_EXTENSIONS
from extensions.data.reading.pixels import too_many
from extensions.data.reading.stored import is_plain
from extensions.runtime.image_items import batch_class, item_class

if TYPE_CHECKING:
    from torchvision.transforms.v2 import Transform


class StockSplit(AnomalibDataset):
    """A split of one of anomalib's datamodules; images and masks are read as those of `WorkbenchDataset` are."""

    def __init__(self, dataset: AnomalibDataset, imaging: Imaging | None = None) -> None:
        super().__init__(augmentations=dataset.augmentations)
        self.imaging = imaging or Imaging()
        self._stock = dataset  # kept alive: one of drawn defects removes its files when it goes
        self._samples = dataset.samples
        self._category = dataset.category

    @property
    def name(self) -> str:
        """As the data set's."""
        return self._stock.name

    @property
    def task(self) -> TaskType:
        """As the data set's."""
        return self._stock.task

    @property
    def collate_fn(self) -> Callable[..., Any]:
        """What makes a batch of items."""
        return batch_class(self.imaging.n_channels).collate

    def __getitem__(self, index: int) -> ImageItem:
        """Read one image, see `read_item`."""
        return read_item(self, index)

    def files_of(self, image_path: str) -> list[str]:
        """The files that decide an image's pixels."""
        return files_of(image_path, self.imaging)


class StockImages(Dataset):
    """The images of a `PredictDataset`, which is what anomalib makes of a folder to predict on."""

    def __init__(self, dataset: PredictDataset, imaging: Imaging | None = None) -> None:
        self.imaging = imaging or Imaging()
        files: list[Path] = dataset.image_filenames
        self.image_filenames = files if self.imaging.channels is None else self.imaging.channels.first_files(files)
        self.transform: Transform | None = dataset.transform

    def __len__(self) -> int:
        return len(self.image_filenames)

    def __getitem__(self, index: int) -> ImageItem:
        """``image`` (C, H, W) float32 in [0, 1] and ``image_path``."""
        path = self.image_filenames[index]
        image = read_unit_image(path, self.imaging)
        image = self.transform(image) if self.transform else image
        return item_class(image.shape[0])(image=image, image_path=str(path))

    @property
    def collate_fn(self) -> Callable[..., Any]:
        """What makes a batch of items."""
        return batch_class(self.imaging.n_channels).collate


def read_as_ours(dataset: Any, imaging: Imaging | None = None) -> Any:
    """The same data set with its files read by our reader; what does not read files by anomalib's is given back as is.

    Files that cannot be read are told before the work, and those whose values need a remark are told once.

    Args:
        dataset: Of anomalib, or subsets and concatenations of such; it is not changed.
        imaging: How a model sees its images; data sets of ours know theirs.

    Raises:
        ValueError: Files that cannot be read, or that anomalib's reader would read otherwise where it cannot be
            replaced; the first is named.
    """
    if isinstance(dataset, Subset):
        return Subset(read_as_ours(dataset.dataset, imaging), dataset.indices)
    if isinstance(dataset, ConcatDataset):
        return ConcatDataset([read_as_ours(part, imaging) for part in dataset.datasets])
    if isinstance(dataset, PredictDataset) and type(dataset).__getitem__ is PredictDataset.__getitem__:
        ours = StockImages(dataset, imaging)
        if ours.imaging.is_read_plainly:  # else the first image that cannot be read is named when its turn comes
            _check(ours.image_filenames)
        _tell_left_out(dataset.image_filenames)
        return ours
    if not isinstance(dataset, AnomalibDataset) or "image_path" not in dataset.samples:
        return dataset
    kind = type(dataset)
    if isinstance(dataset, SyntheticAnomalyDataset):
        _check_plain(dataset.source_samples["image_path"], "drew defects on it")
    if kind.__getitem__ is AnomalibDataset.__getitem__:
        if imaging is None or imaging.is_read_plainly:
            _check(dataset.samples["image_path"])
        return StockSplit(dataset, imaging)
    if kind.__module__.startswith("anomalib."):
        _check_plain(dataset.samples["image_path"], "reads it")
    return dataset


def _check(paths: Iterable[str | Path]) -> None:
    """Open all files once."""
    facts = tell_remarks(paths)
    if odd := [f"{path}: {too_many(fact.stored.channels)}" for path, fact in facts.items() if fact.stored.channels]:
        raise ValueError(odd[0])
    if broken := [f"{path} ({fact.error})" for path, fact in facts.items() if fact.error]:
        msg = (
            f"{len(broken)} of {len(facts)} images cannot be read, such as {broken[0]}; replace them, or take them out"
        )
        raise ValueError(msg)


def _tell_left_out(paths: Sequence[Path]) -> None:
    """Warn of image files beside those of a folder that anomalib does not take for images."""
    if len(paths) == 1:  # somebody asked for this one
        return
    known, folders = set(paths), {path.parent for path in paths}
    beside = (path for folder in sorted(folders) for path in sorted(folder.iterdir()))
    left = [path for path in beside if path.suffix.lower() in IMAGE_EXTENSIONS and path not in known]
    if left := [path for path in left if path.is_file() and not path.name.startswith(".")]:
        endings = ", ".join(sorted({path.suffix for path in left}))
        warn_once(
            f"{len(left)} image files are left out, such as {left[0]}: anomalib's PredictDataset does not know "
            f"{endings}; rename them, or use `python -m inference predict`"
        )


def _check_plain(paths: Iterable[str | Path], what: str) -> None:
    """Refuse images that anomalib's reader and ours read differently."""
    if odd := [path for path in map(str, paths) if not is_plain(Path(path))]:
        msg = (
            f"{odd[0]}{f' and {len(odd) - 1} more images' if len(odd) > 1 else ''}: 16 bits, transparency or an EXIF "
            f"turn, which anomalib's data set {what} without heeding, unlike training and the exported model; use "
            "extensions.Folder or extensions.MVTecAD, or save the images as 8-bit grey or RGB"
        )
        raise ValueError(msg)
