"""The autoencoder with a one-class SVM as a Lightning module."""

import itertools
from pathlib import Path
from typing import Any

import torch
from anomalib.data import Batch
from anomalib.metrics import Evaluator
from anomalib.visualization import Visualizer
from torch import nn

from extensions.models.autoencoder_ocsvm.torch_model import AutoencoderOcSvmModel
from extensions.models.autoencoder_ocsvm.trained_autoencoder import read_autoencoder
from extensions.models.common.checkpoint_mixin import restoring
from extensions.models.common.pre_processor import ImageSize
from extensions.models.common.training_pass import training_images
from extensions.models.conv_autoencoder.lightning_model import ConvAutoencoder


class AutoencoderOcSvm(ConvAutoencoder):
    """One-class SVM on the latents of a convolutional autoencoder: how unusual is what the encoder makes of an image.

    Autoencoder and training are those of `extensions.ConvAutoencoder`: of equal seeds and settings the same network,
    bit for bit. After the training the latents of all training images, as training sees them, are scaled to 0 to 1
    and scikit-learn's `OneClassSVM` is fitted to them (Schölkopf et al., "Estimating the Support of a High-Dimensional
    Distribution", 2001, https://doi.org/10.1162/089976601750264965); what it found lives in the model as tensors. The
    image score is minus its decision function, higher is more anomalous, 0 its boundary, which is also
    `label_free_threshold`. A latent has no place in the image, so the anomaly map is not the score's: it is the
    autoencoder's blurred reconstruction error, the same as that of `ConvAutoencoder`.

    Args:
        autoencoder_checkpoint: Of a `ConvAutoencoder` of the same latent_dim and size: its network (and its
            pre-processor, unless one is given) is taken and not trained, so that one training serves both. None trains.
        nu: In (0, 1], the share of training images that may lie outside the boundary at most.
        gamma: Of the Gaussian kernel on scaled latents: `scale`, `auto` (as in scikit-learn) or a number.
        latent_dim: As `ConvAutoencoder`.
        loss: As `ConvAutoencoder`.
        image_size: As `ConvAutoencoder`.
        center_crop: As `ConvAutoencoder`.
        lr: As `ConvAutoencoder`.
        weight_decay: As `ConvAutoencoder`.
        pre_processor: As `ConvAutoencoder`.
        post_processor: As in anomalib.
        evaluator: As in anomalib.
        visualizer: As in anomalib.

    Raises:
        ValueError: As `ConvAutoencoder`; the checkpoint is none of an autoencoder, or of another one.
        FileNotFoundError: At the first fit, the checkpoint is not there.

    Example:
        >>> model = AutoencoderOcSvm("output/model.ckpt", latent_dim=128, image_size=128)
        >>> Engine().fit(model, datamodule=Elpv())
    """

    only_for_fit = frozenset({"autoencoder_checkpoint", "nu", "gamma"})
    model: AutoencoderOcSvmModel

    def __init__(
        self,
        autoencoder_checkpoint: str | Path | None = None,
        *,
        nu: float = 0.1,
        gamma: str | float = "scale",
        latent_dim: int = 128,
        loss: str = "l2",
        image_size: ImageSize = 256,
        center_crop: ImageSize | None = None,
        lr: float = 0.001,
        weight_decay: float = 0.01,
        pre_processor: nn.Module | bool = True,
        post_processor: nn.Module | bool = True,
        evaluator: Evaluator | bool = True,
        visualizer: Visualizer | bool = True,
    ) -> None:
        self._svm_settings: dict[str, Any] = {"nu": nu, "gamma": gamma}
        self._is_given = autoencoder_checkpoint is not None
        trained = missing = None
        if autoencoder_checkpoint is not None and not restoring.get():
            try:
                trained = read_autoencoder(Path(autoencoder_checkpoint))
            except FileNotFoundError as error:
                missing = error  # a checkpoint of this model may bring the network (`test --ckpt_path`)
        super().__init__(
            latent_dim,
            loss=loss,
            image_size=image_size,
            center_crop=center_crop,
            lr=lr,
            weight_decay=weight_decay,
            pre_processor=trained.pre_processor if trained is not None and pre_processor is True else pre_processor,
            post_processor=post_processor,
            evaluator=evaluator,
            visualizer=visualizer,
        )
        self._trained, self._missing = trained, missing
        if trained is not None:
            trained.put_into(self.model)

    @property
    def trainer_arguments(self) -> dict[str, Any]:
        """A trained autoencoder needs one pass over the training images, which follows the first and only step."""
        given = {"max_epochs": 1, "limit_train_batches": 1, "devices": 1}
        return super().trainer_arguments | (given if self._is_given else {})

    @property
    def logs_val_loss(self) -> bool:  # type: ignore[override]
        """Whether there is a training to watch."""
        return not self._is_given

    def configure_optimizers(self) -> Any:
        """As `ConvAutoencoder`; a trained autoencoder is not optimized."""
        return None if self._is_given else super().configure_optimizers()

    def on_fit_start(self) -> None:
        """Forget an SVM of an earlier fit.

        Raises:
            FileNotFoundError: The autoencoder's checkpoint is not there.
        """
        if self._missing is not None:
            raise self._missing
        super().on_fit_start()
        if self._trained is not None:
            self._trained.put_into(self.model)
        self.model.svm.reset()

    def training_step(self, batch: Batch, *args: Any, **kwargs: Any) -> torch.Tensor | None:
        """As `ConvAutoencoder`; a trained autoencoder learns nothing."""
        if self._is_given:
            return torch.tensor(0.0, requires_grad=True, device=self.device)
        return super().training_step(batch, *args, **kwargs)

    @property
    def can_score(self) -> bool:
        """Not before there is an SVM."""
        return self.model.svm.is_fitted

    @property
    def label_free_threshold(self) -> tuple[float, str] | None:
        """The boundary that the SVM found."""
        return (0.0, "sign of the one-class SVM's decision function") if self.model.svm.is_fitted else None

    def _pooling(self, name: str | None) -> None:
        """The score is not the map's."""
        if name is not None:
            msg = f"score_pooling is {name!r}, but AutoencoderOcSvm scores latents, not its map: leave it out"
            raise ValueError(msg)

    def _finish(self) -> None:
        """Fit the SVM to the latents of the training images; find the thresholds that anomalib shows."""
        self.model.svm.fit(torch.cat([self.model.encode(images) for images in training_images(self)]))
        self._validate_again()

    def _validate_again(self) -> None:
        """Let the post-processor see the scores of the validation images, which there were not before."""
        loader, n_batches = self.trainer.val_dataloaders, self.trainer.num_val_batches
        if self.post_processor is None or loader is None or not n_batches:
            return
        for batch in itertools.islice(loader, int(n_batches[0])):
            moved = self.trainer.strategy.batch_to_device(batch)
            scored = self.scored(moved)
            self.post_processor.on_validation_batch_end(self.trainer, self, scored, moved, 0)
        self.post_processor.on_validation_epoch_end(self.trainer, self)

    def _scored(self, images: torch.Tensor, reconstructions: torch.Tensor) -> dict[str, torch.Tensor | None]:
        """No scores, and so no thresholds, while there is no SVM."""
        return self.model(images)._asdict() if self.model.svm.is_fitted else {}

    def _network(self) -> AutoencoderOcSvmModel:
        return AutoencoderOcSvmModel(image_size=self.image_size, latent_dim=self.latent_dim, **self._svm_settings)
