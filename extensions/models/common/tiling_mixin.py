"""Models that are trained on tiles of large images and score whole ones."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback
from torchvision.transforms.v2 import CenterCrop
from torchvision.transforms.v2.functional import resize_mask

from extensions.data.imaging import Imaging, imaging_of
from extensions.data.tiling.resizing import resized_image
from extensions.data.tiling.settings import Tiling
from extensions.models.common.imaging_mixin import ImagingMixin
from extensions.models.common.limits import seen_size, smallest_image
from extensions.models.common.tiled_scoring import tiled_scores
from extensions.models.common.tiling_estimate import estimate, room
from extensions.runtime.progress import say

STEPS = ("validation_step", "test_step", "predict_step")

logger = logging.getLogger(__name__)


class TilingMixin(ImagingMixin):
    """Mix-in for anomalib models, see `extensions.data.tiling.settings.Tiling`.

    Where the data set sets tiles, training goes by them as by images. In test, prediction and validation a batch holds
    whole images, and each is scored by its tiles; but for a validation on held-out training images, which is for the
    loss and so by tiles.

    Differs from anomalib's way, where a network itself tiles its input (`TilerConfigurationCallback`): that is known to
    few of its networks, holds the features of all tiles at once, and joins features and not maps, so that a network
    that is fitted by position (PaDiM) needs images of one size and place.
    """

    def set_imaging(self, imaging: Imaging) -> None:
        """Keep it, and refuse what cannot be done by tiles.

        Raises:
            ValueError: It says what, and what to do.
        """
        if imaging.tiling is not None:
            check_tile(self, imaging.tiling.tile)
        super().set_imaging(imaging)

    def setup(self, stage: str) -> None:
        """Have whole images scored by tiles."""
        super().setup(stage)
        if stage == "fit":
            self._arrange_steps()
            if self.imaging.tiling is not None and self._trainer is not None:
                self._tell_cost(self.imaging.tiling)

    def on_validation_start(self) -> None:
        """Likewise; a checkpoint has been loaded by now."""
        super().on_validation_start()
        self._arrange_steps()

    def on_test_start(self) -> None:
        """Likewise."""
        super().on_test_start()
        self._arrange_steps()

    def on_predict_start(self) -> None:
        """Likewise."""
        super().on_predict_start()
        self._arrange_steps()

    def _arrange_steps(self) -> None:
        """Put tiles around the steps and before the pre-processor, or nothing where there are none."""
        trainer, tiling = self._trainer, self.imaging.tiling
        for name in STEPS:
            if isinstance(own := self.__dict__.get(name), partial) and own.func is _tiled_step:
                del self.__dict__[name]
            if tiling is not None:
                self.__dict__[name] = partial(_tiled_step, self, getattr(type(self), name))
        if trainer is None:
            return
        if tiling is not None and trainer.datamodule is not None and imaging_of(trainer.datamodule).tiling != tiling:
            msg = (
                f"{type(self).__name__} was trained on {tiling.told}, and the data set "
                f"{getattr(trainer.datamodule, 'name', '')!r} sets other ones, or none: give it the same tiling"
            )
            raise ValueError(msg)
        callbacks = [one.within if isinstance(one, WholeImages) else one for one in trainer.callbacks]
        if tiling is not None:
            callbacks = [WholeImages(one) if one is self.pre_processor else one for one in callbacks]
        trainer.callbacks = callbacks

    @property
    def can_score(self) -> bool:
        """Whether the model can score already; a validation during the fit of one that cannot gives no scores."""
        return True

    def bytes_of_fit(self, n_tiles: int, features: dict[str, tuple[int, int, int]]) -> tuple[int, int]:
        """Bytes that a fit to so many tiles keeps in memory and in a file.

        Args:
            n_tiles: Of the training set.
            features: Channels, height and width of a tile's feature maps, by layer.
        """
        del n_tiles, features  # a model that collects what it is fitted to overrides this
        return 0, 0

    def _tell_cost(self, tiling: Tiling) -> None:
        """Say what the fit and a test will take, and refuse what cannot fit, before either begins."""
        trainer = self.trainer
        cost = estimate(
            self, trainer.datamodule, epochs=max(1, trainer.max_epochs or 1), validates=bool(trainer.limit_val_batches)
        )
        say(cost.sentence(tiling))
        memory, disk = room()
        cost.check(memory=memory, disk=disk)

    def scored(self, batch: Any) -> Any:
        """A validation batch as its loader gives it, pre-processed and scored, outside of the loop that does so."""
        if self.imaging.tiling is not None and not holds_tiles(self.trainer):
            _resize_whole(self, batch)
            return _tiled_step(self, None, batch)
        if self.pre_processor is not None:
            self.pre_processor.on_validation_batch_start(self.trainer, self, batch, 0)
        return batch.update(**self.model(batch.image)._asdict())


class WholeImages(Callback):
    """In place of a pre-processor, which is for tiles: a batch of whole images is left to `tiled_scores`.

    Args:
        within: The pre-processor.
    """

    def __init__(self, within: Any) -> None:
        self.within = within

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Tiles are pre-processed."""
        self.within.on_train_batch_start(trainer, pl_module, batch, batch_idx)

    def on_validation_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *args: Any) -> None:
        """So are those of held-out training images."""
        if holds_tiles(trainer):
            self.within.on_validation_batch_start(trainer, pl_module, batch, *args)
        else:
            _resize_whole(pl_module, batch)

    def on_test_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *args: Any) -> None:
        """Whole images wait."""
        _resize_whole(pl_module, batch)

    on_predict_batch_start = on_test_batch_start


def holds_tiles(trainer: Any) -> bool:
    """Whether the validation at work goes by tiles."""
    is_validating = trainer.state.fn in ("fit", "validate")
    return is_validating and getattr(getattr(trainer.datamodule, "val_data", None), "gives_tiles", False)


def _resize_whole(model: Any, batch: Any) -> None:
    """Bring images and masks of a batch to the size at which they are cut."""
    size = model.imaging.tiling.resize
    if size is None:
        return
    batch.image = torch.stack([resized_image(image, size) for image in batch.image])
    if batch.gt_mask is not None:
        batch.gt_mask = resize_mask(batch.gt_mask, list(size))


def _tiled_step(model: Any, step: Any, batch: Any, *args: Any, **kwargs: Any) -> Any:
    """A step of validation, test or prediction on whole images."""
    if holds_tiles(model.trainer):
        return step(model, batch, *args, **kwargs)
    if not model.can_score:
        return batch
    transform = getattr(model.pre_processor, "transform", None)
    found = tiled_scores(model.model, batch.image, imaging=model.imaging, transform=transform)
    return batch.update(**found._asdict())


def check_tile(model: Any, tile: tuple[int, int]) -> None:
    """Refuse tiles of which a model would not see all, or that are too small for it; tell of those it sees resized.

    Raises:
        ValueError: It says what, and what to do.
    """
    name, transform = type(model).__name__, getattr(model.pre_processor, "transform", None)
    if any(isinstance(one, CenterCrop) for one in getattr(transform, "transforms", [transform])):
        msg = f"{name} keeps the center of each tile (center_crop), so that no map is whole: leave center_crop out"
        raise ValueError(msg)
    size, least = seen_size(transform), smallest_image(model.model)
    if min(size or tile) < least:
        msg = (
            f"{name} would see tiles of {(size or tile)[0]} x {(size or tile)[1]} px, and blurs its anomaly maps over "
            f"{2 * least - 1} px: expected {least} px or more for each side of tiling.tile and image_size"
        )
        raise ValueError(msg)
    if size is not None and size != tile:
        logger.warning(
            "each tile of %d x %d px is resized to %d x %d (image_size) for %s, its map back; image_size: [%d, %d] "
            "leaves tiles as they are",
            *tile, *size, name, *tile,
        )  # fmt: skip
