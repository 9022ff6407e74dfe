"""Convolutional autoencoder."""

from extensions.models.conv_autoencoder.lightning_model import ConvAutoencoder
from extensions.models.conv_autoencoder.watching import ReconstructionStrip

__all__ = ["ConvAutoencoder", "ReconstructionStrip"]
