"""Augmentation of any model of the trainer's, in training, in tests or over several views of a test image."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from torchvision.transforms.v2 import Transform

from extensions.cache.transform_parts import split_repeatable, split_transform
from extensions.configuration import ConfigError
from extensions.data.imaging import imaging_of
from extensions.transforms.drawing import View, draw_view
from extensions.transforms.merging import Matrices, merge_maps, merge_scores
from extensions.transforms.named import augmentation
from extensions.transforms.settings import AugmentationSettings

_STEPS = ("validation_step", "test_step", "predict_step")
_TRAIN, _TEST = 0, 1  # so that an image is drawn differently in training and in a test


class Augmentation(Callback):
    """Augments what a model sees, at the size at which it sees it and before it normalizes.

    The question is that of "Optimizing PatchCore for Few/many-shot Anomaly Detection" (Santos et al., 2023,
    https://arxiv.org/abs/2307.10792), where augmented images can help and need not, and "What makes a good data
    augmentation for few-shot unsupervised image anomaly detection?" (Zhang et al., 2023,
    https://arxiv.org/abs/2304.03294), where none stands out. Differs from augmenting in the data set: masks, epochs
    and image names are at hand, so that every draw is decided by seed, epoch and image, whatever reads the
    images; and decoded images can be kept.

    - `train`: each training image, anew in each epoch. A memory bank holds each image once, augmented.
    - `test`: each test image once, masks alike; a defect may end up out of sight, its label stays.
    - `both`: these two.
    - `tta`: scores are merged over the views; maps are moved back first, and at each pixel only the views that show
      it count. The first view is the image as it is. An image takes `n_views` times as long.

    Validation is treated as a test is, for thresholds come from it; but not during a training over several epochs,
    where it decides when to stop. What is exported or saved is the model alone.

    Args:
        name: One of `extensions.transforms.NAMES`.
        where: `train`, `test`, `both` or `tta`.
        n_views: Of `tta`.
        merge: Of `tta`: `mean` or `max`.
        seed: None takes that of the run.

    Raises:
        ConfigError: A value that cannot be; it lists those that can.

    Example:
        >>> engine = Engine(callbacks=[Augmentation("flip", where="tta", n_views=4)])
        >>> engine.train(Padim(), datamodule=Elpv())
    """

    def __init__(
        self, name: str, where: str = "train", *, n_views: int = 8, merge: str = "mean", seed: int | None = None
    ) -> None:
        self.settings = AugmentationSettings(name, where, n_views, merge)
        self.seed = seed
        self._transform = augmentation(name)
        self._images: torch.Tensor | None = None  # (N, 3, H, W) of the batch at work, not normalized
        self._steps: dict[str, Callable[..., Any] | None] = {}
        self._name_of: Callable[[str], str] | None = None

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Put the merging of views around the model's steps.

        Raises:
            ConfigError: Test images would be augmented, and are looked at in tiles.
        """
        self._release(pl_module)
        if self.settings.where != "train" and "tiling" in imaging_of(trainer.datamodule).names:
            msg = (
                f"Augmentation: where is {self.settings.where!r} and the data set sets tiling; test images in tiles "
                "cannot be augmented: set where to 'train', or leave the tiling out"
            )
            raise ConfigError(msg)
        self._name_of = None
        if self.settings.where == "tta":
            for name in _STEPS:
                self._steps[name] = pl_module.__dict__.get(name)  # usually none: the method is the class's
                setattr(pl_module, name, self._over_views(trainer, pl_module, getattr(pl_module, name)))

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Leave the model as it was."""
        self._release(pl_module)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """The same; Lightning tears nothing down then."""
        self._release(pl_module)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Augment training images."""
        if self.settings.in_training:
            self._augment(trainer, pl_module, batch, (_TRAIN, trainer.current_epoch))

    def on_validation_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """As in a test, unless the validation belongs to a training over several epochs."""
        if trainer.state.fn != TrainerFn.FITTING or trainer.max_epochs == 1:
            self._meet(trainer, pl_module, batch)

    def on_test_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Augment test images, or keep them for their views."""
        self._meet(trainer, pl_module, batch)

    def on_predict_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """As in a test."""
        self._meet(trainer, pl_module, batch)

    def _meet(self, trainer: Any, pl_module: Any, batch: Any) -> None:
        if self.settings.where == "tta":
            shape, _ = _pre_processing(pl_module)
            self._images = batch.image if shape is None else shape(batch.image)
        elif self.settings.in_test:
            self._augment(trainer, pl_module, batch, (_TEST, 0))

    def _augment(self, trainer: Any, pl_module: Any, batch: Any, number: tuple[int, int]) -> None:
        fixed, crop = split_repeatable(_pre_processing(pl_module)[0])
        if fixed is not None:
            batch.image, batch.gt_mask = fixed(batch.image, batch.gt_mask)
        size = batch.image.shape[-2:]
        if crop is not None:
            batch.image, batch.gt_mask = crop(batch.image, batch.gt_mask)
        views = self._draw(trainer, batch, batch.image, number, masks=batch.gt_mask)
        batch.image = _framed(torch.stack([view.image for view in views]), size)
        if batch.gt_mask is not None:
            batch.gt_mask = _framed(torch.stack([view.mask for view in views if view.mask is not None]), size)

    def _draw(
        self, trainer: Any, batch: Any, images: torch.Tensor, number: tuple[int, int], masks: Any = None
    ) -> list[View]:
        name_of = self._name_of = self._name_of or _names(trainer)
        seed = self.seed if self.seed is not None else int(os.environ.get("PL_GLOBAL_SEED", "0"))
        return [
            draw_view(
                self._transform,
                image,
                None if masks is None else masks[place],
                name=name_of(str(batch.image_path[place])),
                seed=(seed, *number),
            )
            for place, image in enumerate(images)
        ]

    def _over_views(self, trainer: Any, pl_module: Any, step: Callable[..., Any]) -> Callable[..., Any]:
        def over_views(batch: Any, *args: Any, **kwargs: Any) -> Any:
            originals, self._images = self._images, None
            if originals is None:
                return step(batch, *args, **kwargs)
            _, normalize = _pre_processing(pl_module)
            found = [step(batch.update(in_place=False), *args, **kwargs)]
            matrices: list[Matrices] = [[None] * len(originals)]
            for number in range(1, self.settings.n_views):
                views = self._draw(trainer, batch, originals, (_TEST, number))
                images = torch.stack([view.image for view in views])
                images = images if normalize is None else normalize(images)
                found.append(step(batch.update(in_place=False, image=images), *args, **kwargs))
                matrices.append([view.matrix for view in views])
            return batch.update(**self._merged(found, matrices))

        return over_views

    def _merged(self, found: list[Any], matrices: list[Matrices]) -> dict[str, torch.Tensor]:
        """What the views agree on; labels come from the post-processor, by these."""
        merged = {}
        if found[0].pred_score is not None:
            scores = torch.stack([torch.as_tensor(one.pred_score).flatten() for one in found])  # (V, N)
            merged["pred_score"] = merge_scores(scores, how=self.settings.merge)
        if found[0].anomaly_map is not None:
            maps = [torch.as_tensor(one.anomaly_map) for one in found]
            merged["anomaly_map"] = merge_maps(maps, matrices, how=self.settings.merge)
        return merged

    def _release(self, pl_module: Any) -> None:
        self._images = None
        for name, step in self._steps.items():
            if step is None:
                pl_module.__dict__.pop(name, None)
            else:
                setattr(pl_module, name, step)
        self._steps = {}


def _pre_processing(pl_module: Any) -> tuple[Transform | None, Transform | None]:
    """What brings images to the size that a model sees, and what follows; both None where there is nothing to do."""
    transform = getattr(pl_module.pre_processor, "transform", None)
    return split_transform(transform) or (None, transform)


def _framed(images: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Images (N, …, h, w) in the middle of zeros (N, …, height, width), where a crop of the center finds them again."""
    height, width = size[0] - images.shape[-2], size[1] - images.shape[-1]
    top, left = round(height / 2), round(width / 2)  # as torchvision crops
    return F.pad(images, (left, width - left, top, height - top)) if height or width else images


def _names(trainer: Any) -> Callable[[str], str]:
    """From an image's path to a name that is the same on every machine."""
    from extensions.data.checks.fingerprints import image_names

    if trainer.datamodule is None:
        return lambda path: Path(path).name
    return image_names(trainer.datamodule)
