"""STFPM."""

from extensions.models.stfpm.lightning_model import Stfpm

__all__ = ["Stfpm"]
