"""The autoencoder's network with a one-class SVM on its latents."""

import torch
from anomalib.data import InferenceBatch

from extensions.models.common.one_class_svm import OneClassSvm
from extensions.models.conv_autoencoder.torch_model import ConvAutoencoderModel


class AutoencoderOcSvmModel(ConvAutoencoderModel):
    """An autoencoder whose images are scored by their latents.

    Shapes: as `ConvAutoencoderModel`; pred_score (N,) is minus the SVM's decision function. Arguments are those of
    `ConvAutoencoderModel` and `OneClassSvm`.
    """

    def __init__(self, *, image_size: tuple[int, int], latent_dim: int, nu: float, gamma: str | float) -> None:
        super().__init__(image_size=image_size, latent_dim=latent_dim)
        self.svm = OneClassSvm(nu=nu, gamma=gamma)

    def forward(self, images: torch.Tensor) -> torch.Tensor | InferenceBatch:
        """Draw images again, or score them by their latents."""
        latents = self.encode(images)
        reconstructions = self.decode(latents)
        if self.training:
            return reconstructions
        return self.score(images, reconstructions)._replace(pred_score=self.svm(latents))
