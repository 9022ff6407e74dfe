"""STFPM with a contrastive head."""

from extensions.models.contrastive_stfpm.lightning_model import ContrastiveStfpm

__all__ = ["ContrastiveStfpm"]
