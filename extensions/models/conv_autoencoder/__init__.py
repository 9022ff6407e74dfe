"""Convolutional autoencoder."""

from extensions.models.conv_autoencoder.lightning_model import ConvAutoencoder

__all__ = ["ConvAutoencoder"]
