"""Convolutional autoencoder."""

from extensions.models.conv_autoencoder.callbacks import ReconstructionStrip
from extensions.models.conv_autoencoder.lightning_model import ConvAutoencoder

__all__ = ["ConvAutoencoder", "ReconstructionStrip"]
