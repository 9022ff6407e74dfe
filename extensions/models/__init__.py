"""Anomaly detectors: anomalib's models with backbones by name and checkpoints that reload offline."""

from extensions.models.cflow import Cflow
from extensions.models.contrastive_stfpm import ContrastiveStfpm
from extensions.models.fastflow import Fastflow
from extensions.models.padim import Padim
from extensions.models.patchcore import Patchcore
from extensions.models.reverse_distillation import ReverseDistillation
from extensions.models.stfpm import Stfpm

__all__ = ["Cflow", "ContrastiveStfpm", "Fastflow", "Padim", "Patchcore", "ReverseDistillation", "Stfpm"]
