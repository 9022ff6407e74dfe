"""FastFlow."""

from extensions.models.fastflow.lightning_model import Fastflow

__all__ = ["Fastflow"]
