"""STFPM with a contrastive head as a Lightning module."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from anomalib.data import Batch
from anomalib.metrics import Evaluator
from anomalib.models import Stfpm as AnomalibStfpm
from anomalib.visualization import Visualizer
from torch import nn

from extensions.backbones import architecture
from extensions.configuration.checked_values import check_values, check_whole
from extensions.models.common.held_out_mixin import HeldOutMixin, holds_out_training_images
from extensions.models.common.pre_processor import ImageSize, last_normalization
from extensions.models.common.step_seed import seed_of_step
from extensions.models.common.training_pass import evaluating
from extensions.models.contrastive_stfpm.loss import contrastive_loss, matching_loss
from extensions.models.contrastive_stfpm.torch_model import ContrastiveStfpmModel
from extensions.models.contrastive_stfpm.views import MILD, check_view_settings, make_views
from extensions.models.stfpm.lightning_model import Stfpm


class ContrastiveStfpm(HeldOutMixin, Stfpm):
    """STFPM whose student also learns to tell the training images apart, so that unusual ones can be found.

    Wang et al., "Student-Teacher Feature Pyramid Matching for Anomaly Detection", 2021,
    https://arxiv.org/abs/2103.04257, and Chen et al., "A Simple Framework for Contrastive Learning of Visual
    Representations", 2020, https://arxiv.org/abs/2002.05709. The loss is STFPM's, on the images as they are, plus
    `contrastive_weight` times NT-Xent of two random views of each, which only the student sees. Scores are those of
    STFPM, higher is more anomalous.

    Loss and optimizer are those of the authors (https://github.com/gdwang08/STFPM): averaged over the batch, weight
    decay 1e-4. Where the datamodule holds out training images (`val_split_mode=from_train`), their matching loss is
    logged as `val_loss` and the student of the epoch with the lowest is kept (the authors: with the lowest mean anomaly
    map). With any other `val_split_mode` there is no `val_loss`: test images decide nothing.
    Differs from SimCLR: views are milder, and the student's batch normalization keeps the statistics of the images as
    they are, so that the views do not blur what is compared with the teacher.

    A second fit with another Engine starts from a new student. Models from a checkpoint go on from it.

    Args:
        backbone: timm name of teacher and student; `python -m extensions.backbones list` shows what is available.
        layers: Feature maps to match, highest resolution first; None takes the last ones at strides 4, 8 and 16. The
            last is what the head sees.
        weights: Weights file of the teacher; None looks in the weights folder, packages and timm's hub.
        pre_trained: False leaves the teacher random.
        image_size: Height and width in px that images are resized to, by the default pre-processor.
        center_crop: Height and width in px of the center to keep after resizing, by the default pre-processor.
        contrastive_weight: Of NT-Xent in the loss; 0 is plain STPM: no head is built and no views are made.
        projection_size: Length of an embedding.
        temperature: Divides the cosine similarities in NT-Xent, larger is softer.
        queue_size: Past embeddings that NT-Xent compares with, fewer than the training images; 0 compares within the
            batch. Not part of a checkpoint: each fit starts with an empty one.
        views: Settings of lightly's `SimCLRViewTransform` that differ from `min_scale: 0.2, cj_strength: 0.5` (SimCLR:
            0.08 and 1) and from its own defaults.
        lr: Learning rate of SGD.
        momentum: Momentum of SGD.
        weight_decay: Weight decay of SGD.
        score_pooling: What an image scores: `max` of its map, or the mean of the map's highest pixels, `top_100` or
            `top_1%`, with any other number, see `extensions.data.score_pooling`. None for `max`. A trained
            model takes another.
        pre_processor: True builds the default, False leaves images as they are.
        post_processor: As in anomalib.
        evaluator: As in anomalib.
        visualizer: As in anomalib.

    Raises:
        ValueError: Unknown backbone, layer or setting of the views, or a number out of range.

    Example:
        >>> model = ContrastiveStfpm("resnet18", contrastive_weight=0.1)
        >>> Engine(max_epochs=100).fit(model, datamodule=Elpv(val_split_mode="from_train", val_split_ratio=0.2))
        >>> model.embed(images)
    """

    # Not contrastive_weight: it decides whether there is a head.
    only_for_fit = frozenset({"temperature", "queue_size", "views"})
    model: ContrastiveStfpmModel

    def __init__(
        self,
        backbone: str = "resnet18",
        layers: Sequence[str] | None = None,
        *,
        weights: str | Path | None = None,
        pre_trained: bool = True,
        image_size: ImageSize = 256,
        center_crop: ImageSize | None = None,
        contrastive_weight: float = 0.1,
        projection_size: int = 128,
        temperature: float = 0.5,
        queue_size: int = 0,
        views: dict[str, Any] | None = None,
        lr: float = 0.4,
        momentum: float = 0.9,
        weight_decay: float = 0.0001,
        score_pooling: str | None = None,
        pre_processor: nn.Module | bool = True,
        post_processor: nn.Module | bool = True,
        evaluator: Evaluator | bool = True,
        visualizer: Visualizer | bool = True,
    ) -> None:
        check_whole(projection_size=projection_size, queue_size=queue_size)
        check_values(
            contrastive_weight=(contrastive_weight, contrastive_weight >= 0, "0 or more"),
            projection_size=(projection_size, projection_size >= 2, "2 or more"),
            temperature=(temperature, temperature > 0, "more than 0"),
            queue_size=(queue_size, queue_size >= 0, "0 or more"),
        )
        check_view_settings(views or {})
        layers = self._resolve_layers(backbone, layers)
        processor = self._resolve_pre_processor(pre_processor, backbone, image_size=image_size, center_crop=center_crop)
        # Anomalib's own __init__ is left out: it would download the teacher.
        super(AnomalibStfpm, self).__init__(
            pre_processor=processor, post_processor=post_processor, evaluator=evaluator, visualizer=visualizer
        )
        self.contrastive_weight = contrastive_weight
        self.projection_size, self.temperature, self.queue_size = projection_size, temperature, queue_size
        self.model = self._network(backbone, layers)
        self.view_settings = MILD | (views or {})
        self.contrastive_loss: nn.Module | None = None
        self.optimizer_settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        self._was_fitted = False
        self._set_backbone(backbone, layers, weights=weights, pre_trained=pre_trained)
        self._set_score_pooling(score_pooling)

    @property
    def takes_channels(self) -> bool:
        """The views that it contrasts are of red, green and blue."""
        return False

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Optimize student and head by SGD."""
        head = self.model.projection_head
        parameters = [*self.model.student_model.parameters(), *(head.parameters() if head is not None else ())]
        return torch.optim.SGD(parameters, **self.optimizer_settings)

    def on_fit_start(self) -> None:
        """Start with a new queue, and after an earlier fit with a new student.

        Raises:
            ValueError: Fitting would do nothing, or the queue is too long for the training set.
        """
        super().on_fit_start()
        if self._was_fitted and self.trainer.ckpt_path is None:
            self._start_again()
        if self.contrastive_weight:
            _check_queue(self.queue_size, self.trainer)
            self.contrastive_loss = contrastive_loss(
                temperature=self.temperature, queue_size=self.queue_size, projection_size=self.projection_size
            ).to(self.device)

    def training_step(self, batch: Batch, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        """Match the teacher on the images, and tell their views apart."""
        teacher, student = self.model(batch.image)
        loss = matching_loss(teacher, student).mean()
        if self.contrastive_loss is not None:
            views = self.views(batch.image, seed=seed_of_step(self))
            first, second = self.model.project(views.flatten(0, 1)).chunk(2)  # (N, K) each
            contrast = self.contrastive_loss(first, second)
            self.log("train_matching_loss", loss.item(), on_step=False, on_epoch=True)
            self.log("train_contrastive_loss", contrast.item(), on_step=False, on_epoch=True)
            loss = loss + self.contrastive_weight * contrast
        self.log("train_loss", loss.item(), on_epoch=True, prog_bar=True, logger=True)
        return {"loss": loss}

    def validation_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Batch:
        """Score images; log the matching loss of those that were held out of training as `val_loss`."""
        teacher, student, predictions = self.model.compare(batch.image)
        if holds_out_training_images(self.trainer):
            loss = matching_loss(teacher, student).mean()
            self.log("val_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch.image))
        return batch.update(**self.pooled(batch.image, predictions)._asdict())

    def on_train_end(self) -> None:
        """Remember that there is a student to replace."""
        super().on_train_end()
        self._was_fitted = True

    def views(self, images: torch.Tensor, *, seed: int) -> torch.Tensor:
        """Make two random views of each image, as in training.

        Args:
            images: (N, 3, H, W), as the pre-processor gives them.
            seed: Of all that is drawn; nothing else changes what comes out.

        Returns:
            (2, N, 3, H, W), as the pre-processor would give them.
        """
        normalize = last_normalization(getattr(self.pre_processor, "transform", None))
        return make_views(images, settings=self.view_settings, normalize=normalize, seed=seed)

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Embed images by the contrastive head, in eval mode: the other images of a batch change nothing.

        Args:
            images: (N, 3, H, W), as the pre-processor gives them.

        Returns:
            (N, projection_size), each of unit length.

        Raises:
            ValueError: `contrastive_weight` is 0, so that there is no head.
        """
        with evaluating(self.model):
            return self.model.project(images.to(self.device))

    def discrepancy(self, images: torch.Tensor) -> torch.Tensor:
        """How far the student is from its teacher on each image, by the mean of the largest 2.5 % of its map.

        Args:
            images: (N, 3, H, W), as the pre-processor gives them.

        Returns:
            (N,), higher is more anomalous.
        """
        with evaluating(self.model):
            maps = self.model(images.to(self.device)).anomaly_map.flatten(1)  # (N, H * W)
        return maps.topk(max(1, maps.shape[1] // 40), dim=1).values.mean(dim=1)  # (N,)

    def _network(self, backbone: str, layers: Sequence[str]) -> ContrastiveStfpmModel:
        size = self.projection_size if self.contrastive_weight else None
        return ContrastiveStfpmModel(layers, architecture(backbone), projection_size=size)

    def _start_again(self) -> None:
        if self.trainer.max_epochs not in (None, -1) and self.trainer.current_epoch >= self.trainer.max_epochs:
            msg = (
                f"this Engine has already trained its {self.trainer.max_epochs} epochs, so that fitting again would do "
                "nothing: use a new Engine for each fit."
            )
            raise ValueError(msg)
        fresh = self._network(self.backbone, self.layers)
        self.model.student_model.load_state_dict(fresh.student_model.state_dict())
        if self.model.projection_head is not None and fresh.projection_head is not None:
            self.model.projection_head.load_state_dict(fresh.projection_head.state_dict())


def _check_queue(queue_size: int, trainer: Any) -> None:
    n_images = len(getattr(getattr(trainer, "datamodule", None), "train_data", None) or ())
    if n_images and queue_size >= n_images:
        msg = (
            f"queue_size is {queue_size}, expected less than the {n_images} training images: a longer memory holds "
            "each image itself among those it is to be told from."
        )
        raise ValueError(msg)
