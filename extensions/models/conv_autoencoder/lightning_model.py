"""The convolutional autoencoder as a Lightning module."""

from typing import Any

import torch
from anomalib import LearningType
from anomalib.data import Batch
from anomalib.metrics import Evaluator
from anomalib.models import AnomalibModule
from anomalib.pre_processing import PreProcessor
from anomalib.visualization import Visualizer
from torch import nn

from extensions.configuration.checked_values import check_values, check_whole
from extensions.models.common.checkpoint_mixin import CheckpointMixin
from extensions.models.common.held_out_mixin import holds_out_training_images
from extensions.models.common.inside import find_inside
from extensions.models.common.nan_recovery_mixin import NanRecoveryMixin
from extensions.models.common.pre_processor import ImageSize, pixel_pre_processor, size_pair
from extensions.models.common.reading_mixin import ReadingMixin
from extensions.models.common.score_pooling_mixin import ScorePoolingMixin
from extensions.models.common.training_pass import evaluating, training_images
from extensions.models.conv_autoencoder.loss import LOSSES, reconstruction_loss
from extensions.models.conv_autoencoder.torch_model import STRIDE, ConvAutoencoderModel

QUANTILE = 0.8  # of the training images' scores: where the threshold without labels lies


class ConvAutoencoder(ScorePoolingMixin, NanRecoveryMixin, ReadingMixin, CheckpointMixin, AnomalibModule):
    """Convolutional autoencoder: what it cannot draw again was not among the training images.

    Bergmann et al., "Improving Unsupervised Defect Segmentation by Applying Structural Similarity to Autoencoders",
    2019, https://arxiv.org/abs/1807.02011. The image score is the mean squared reconstruction error, the anomaly map
    the error of each pixel averaged over the channels and blurred by 4 px, whatever the loss; higher is more anomalous.
    Images are seen with their pixels in 0 to 1, not normalized. Differs from the paper: five convolutions with batch
    normalization and a linear bottleneck in place of nine, colors, whole images instead of patches, AdamW whose
    learning rate falls along half a cosine over `trainer.max_epochs`.

    Where the datamodule holds out training images (`val_split_mode=from_train`), their loss is logged as `val_loss`
    and the network of the epoch with the lowest is kept. A NaN loss is not learned from: training goes
    back to the best state with a tenth of the learning rate, three times at most, and says so.

    `label_free_threshold` is the 80 % quantile of the scores of the training images, as training sees them: a fifth
    of them would be called anomalous. A second fit with another Engine starts from a new network. Models from a
    checkpoint go on from it.

    Args:
        latent_dim: Numbers that stand for an image.
        loss: `l2`, the mean squared error, or `ssim`, one minus the structural similarity.
        image_size: Height and width in px that images are resized to by the default pre-processor, multiples of 32.
            With a pre_processor of your own, the size that it gives.
        center_crop: Height and width in px of the center to keep after resizing, multiples of 32 in place of
            image_size; by the default pre-processor.
        lr: First learning rate of AdamW.
        weight_decay: Of AdamW.
        score_pooling: What an image scores: `max` of its map, or the mean of the map's highest pixels, `top_100` or
            `top_1%`, with any other number, see `extensions.data.score_pooling`. None for the mean error of all pixels,
            before the blur. A trained model takes another.
        pre_processor: True builds the default, False leaves images as they are.
        post_processor: As in anomalib.
        evaluator: As in anomalib.
        visualizer: As in anomalib.

    Raises:
        ValueError: A size that is no multiple of 32, an unknown loss, or a number out of range.

    Example:
        >>> model = ConvAutoencoder(128, image_size=128)
        >>> Engine(max_epochs=100).fit(model, datamodule=Elpv(val_split_mode="from_train", val_split_ratio=0.2))
        >>> model.reconstruct(images)
    """

    only_for_fit = frozenset({"loss", "lr", "weight_decay"})  # scores are those of one error, whatever the loss
    own_pooling = None
    pooling_decides_fit = True  # it has a threshold without labels
    model: ConvAutoencoderModel
    _label_free_threshold: torch.Tensor

    def __init__(
        self,
        latent_dim: int = 128,
        *,
        loss: str = "l2",
        image_size: ImageSize = 256,
        center_crop: ImageSize | None = None,
        lr: float = 0.001,
        weight_decay: float = 0.01,
        score_pooling: str | None = None,
        pre_processor: nn.Module | bool = True,
        post_processor: nn.Module | bool = True,
        evaluator: Evaluator | bool = True,
        visualizer: Visualizer | bool = True,
    ) -> None:
        check_whole(latent_dim=latent_dim)
        check_values(
            loss=(loss, loss in LOSSES, f"one of {', '.join(LOSSES)}"),
            latent_dim=(latent_dim, latent_dim >= 1, "1 or more"),
            lr=(lr, lr > 0, "more than 0"),
            weight_decay=(weight_decay, weight_decay >= 0, "0 or more"),
        )
        size = _seen_size(image_size, center_crop)
        if pre_processor is True:
            pre_processor = pixel_pre_processor(image_size=image_size, center_crop=center_crop)
        super().__init__(
            pre_processor=pre_processor, post_processor=post_processor, evaluator=evaluator, visualizer=visualizer
        )
        self.latent_dim, self.image_size = latent_dim, size
        self.loss_name = loss
        self.optimizer_settings = {"lr": lr, "weight_decay": weight_decay}
        self.model = self._network()
        self.register_buffer("_label_free_threshold", torch.tensor(float("nan")))
        self._set_score_pooling(score_pooling)
        self._was_fitted = False

    @staticmethod
    def configure_pre_processor(image_size: tuple[int, int] | None = None) -> PreProcessor:
        """Resize and leave the pixels as they are."""
        return pixel_pre_processor(image_size=image_size or 256)

    def configure_optimizers(self) -> Any:
        """Optimize all of the network by AdamW, its rate along half a cosine to 0 over the run's epochs.

        Raises:
            ValueError: The run has no number of epochs.
        """
        n_epochs = self.trainer.max_epochs
        if n_epochs is None or n_epochs < 1:
            msg = f"trainer.max_epochs is {n_epochs}; expected a number of epochs, over which the learning rate falls."
            raise ValueError(msg)
        optimizer = torch.optim.AdamW(self.model.parameters(), **self.optimizer_settings)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=n_epochs)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "epoch"}}

    @property
    def trainer_arguments(self) -> dict[str, Any]:
        """No validation before training."""
        return {"num_sanity_val_steps": 0}

    @property
    def learning_type(self) -> LearningType:
        """Learns from normal images only."""
        return LearningType.ONE_CLASS

    def on_fit_start(self) -> None:
        """Start with a new network after an earlier fit."""
        if self._was_fitted and self.trainer.ckpt_path is None:
            self.model.load_state_dict(self._network().state_dict())
        super().on_fit_start()

    def training_step(self, batch: Batch, *args: Any, **kwargs: Any) -> torch.Tensor | None:
        """Draw images again; None, and a rewind, at a NaN loss."""
        loss = self._loss(self.model(batch.image), batch.image)
        if not loss.isfinite():
            self.rewind("the loss")
            return None
        self.log("train_loss", loss.item(), on_epoch=True, prog_bar=True, logger=True, batch_size=len(batch.image))
        return loss

    def validation_step(self, batch: Batch, *args: Any, **kwargs: Any) -> Batch:
        """Score images; log the loss of those that were held out of training as `val_loss`."""
        reconstructions = self.model.decode(self.model.encode(batch.image))
        if holds_out_training_images(self.trainer):
            loss = self._loss(reconstructions, batch.image)
            self.log("val_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(batch.image))
        return batch.update(**self._scored(batch.image, reconstructions))

    def on_train_end(self) -> None:
        """Go back to the best epoch, and look at the training images once more."""
        super().on_train_end()
        self._was_fitted = True
        with evaluating(self.model):
            self._finish()
        self._write_checkpoints_again()

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        """Draw images again, in eval mode.

        Args:
            images: (N, 3, H, W), as the pre-processor gives them.

        Returns:
            (N, 3, H, W), in 0 to 1.
        """
        with evaluating(self.model):
            return self.model.decode(self.model.encode(images.to(self.device)))

    @property
    def label_free_threshold(self) -> tuple[float, str] | None:
        """A threshold on raw scores that needed no labelled image, and where it is from; None before a fit."""
        value = float(self._label_free_threshold)
        return None if value != value else (value, f"{QUANTILE:.0%} quantile of the training images' scores")

    @property
    def _of_scores(self) -> tuple[str, ...]:
        """The threshold without labels is one of them."""
        return (*super()._of_scores, "_label_free_threshold")

    def _loss(self, reconstructions: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Of a batch; the mean is over pixels inside where not all count."""
        inside = find_inside(self.model, images)
        if inside is None:
            return reconstruction_loss(self.loss_name, reconstructions, images)
        return (
            reconstruction_loss(self.loss_name, reconstructions * inside.pixels, images * inside.pixels)
            / inside.pixels.mean()
        )

    def _finish(self) -> None:
        """Take from the training images what scores need beside the network; it is in eval mode."""
        scores = torch.cat([self.model(images).pred_score for images in training_images(self)])  # (n_train,)
        self._label_free_threshold.copy_(scores.quantile(QUANTILE))

    def _scored(self, images: torch.Tensor, reconstructions: torch.Tensor) -> dict[str, torch.Tensor | None]:
        """What a validation batch gets."""
        return self.pooled(images, self.model.score(images, reconstructions))._asdict()

    def _network(self) -> ConvAutoencoderModel:
        return ConvAutoencoderModel(image_size=self.image_size, latent_dim=self.latent_dim)


def _seen_size(image_size: ImageSize, center_crop: ImageSize | None) -> tuple[int, int]:
    """Height and width in px that the network sees."""
    name, given = ("image_size", image_size) if center_crop is None else ("center_crop", center_crop)
    size = size_pair(given, name)
    if any(side % STRIDE for side in size):
        near = tuple(max(STRIDE, round(side / STRIDE) * STRIDE) for side in size)
        msg = f"{name} is {size[0]} x {size[1]} px; expected multiples of {STRIDE}, such as {near[0]} x {near[1]}."
        raise ValueError(msg)
    return size
