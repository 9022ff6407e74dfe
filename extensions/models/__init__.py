"""Anomaly detectors: anomalib's models with backbones by name and checkpoints that reload offline."""

from extensions.models.autoencoder_ocsvm import AutoencoderOcSvm
from extensions.models.backbone_ocsvm import BackboneOcSvm
from extensions.models.cflow import Cflow
from extensions.models.contrastive_stfpm import ContrastiveStfpm
from extensions.models.conv_autoencoder import ConvAutoencoder, ReconstructionStrip
from extensions.models.fastflow import Fastflow
from extensions.models.padim import Padim
from extensions.models.patchcore import Patchcore
from extensions.models.reverse_distillation import ReverseDistillation
from extensions.models.stfpm import Stfpm

__all__ = [
    "AutoencoderOcSvm",
    "BackboneOcSvm",
    "Cflow",
    "ContrastiveStfpm",
    "ConvAutoencoder",
    "Fastflow",
    "Padim",
    "Patchcore",
    "ReconstructionStrip",
    "ReverseDistillation",
    "Stfpm",
]
