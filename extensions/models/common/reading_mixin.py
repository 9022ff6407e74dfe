"""Models that see every image file as `extensions.data.reading.image_files` reads it, whoever made the data set."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar

from anomalib.data import ImageBatch
from anomalib.visualization import ImageVisualizer
from torch.utils.data import DataLoader

from extensions.data.datamodules.stock_datasets import read_as_ours
from extensions.models.common.alignment_mixin import AlignmentMixin
from extensions.models.common.known_defects import check_known_defects
from extensions.models.common.region_mixin import RegionMixin
from extensions.models.common.thread_loader import by_threads
from extensions.models.common.tiling_mixin import TilingMixin
from extensions.models.common.visualizer import UprightVisualizer

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


class ReadingMixin(AlignmentMixin, TilingMixin, RegionMixin):
    """Mix-in for anomalib models: files of anomalib's own data sets are read by our reader in fit, test and predict.

    The data sets themselves, loaders that are given and other models are left as they are.
    """

    reads_as_ours: ClassVar[bool] = True
    visualizer: Any

    def setup(self, stage: str) -> None:
        """Have the trainer pass its loaders on with our reader."""
        super().setup(stage)
        if self._trainer is None:  # set up by hand, to be fed by hand
            return
        strategy = self.trainer.strategy
        if not isinstance(strategy.process_dataloader, LoaderReader):
            strategy.process_dataloader = LoaderReader(self.trainer, strategy.process_dataloader)

    def on_fit_start(self) -> None:
        """Refuse known defects that the model would take for good images.

        Raises:
            ValueError: It names the model, the data set, the number of defects, and what to do.
        """
        super().on_fit_start()
        check_known_defects(self, getattr(self.trainer, "datamodule", None))

    def configure_callbacks(self) -> Any:
        """As in anomalib, with a visualizer that shows images as the model saw them."""
        if type(self.visualizer) is ImageVisualizer:
            self.visualizer = UprightVisualizer.like(self.visualizer)
        return super().configure_callbacks()


class LoaderReader:
    """In place of a strategy's `process_dataloader`, which Lightning calls for every loader before it is used.

    Args:
        trainer: May later run models that are not ours; their loaders are not touched.
        before: The strategy's own.
    """

    def __init__(self, trainer: Trainer, before: Callable[[Any], Any]) -> None:
        self._trainer = trainer
        self._before = before

    def __call__(self, loader: Any) -> Any:
        """The loader as the strategy wants it, reading by our reader, and ahead where it may."""
        model = self._trainer.lightning_module
        if isinstance(loader, DataLoader) and getattr(model, "reads_as_ours", False):
            loader = by_threads(_with_dataset(loader, read_as_ours(loader.dataset, model.imaging)))
        return self._before(loader)


def _with_dataset(loader: DataLoader, dataset: Any) -> DataLoader:
    """A loader that differs in its data set only, of the same length; what makes batches is that of the data set."""
    if dataset is loader.dataset:
        return loader
    other = copy(loader)  # a new one would need to know what the loader was made with, workers and samplers among it
    vars(other)["dataset"] = dataset  # setting it as an attribute is refused
    if getattr(loader.collate_fn, "__self__", None) is ImageBatch:  # anomalib's, which is for three channels
        vars(other)["collate_fn"] = getattr(dataset, "collate_fn", loader.collate_fn)
    vars(other)["_iterator"] = None  # of workers that persist
    return other
