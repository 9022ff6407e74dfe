"""PaDiM."""

from extensions.models.padim.lightning_model import Padim

__all__ = ["Padim"]
