"""Autoencoder with a one-class SVM on its latents."""

from extensions.models.autoencoder_ocsvm.lightning_model import AutoencoderOcSvm

__all__ = ["AutoencoderOcSvm"]
