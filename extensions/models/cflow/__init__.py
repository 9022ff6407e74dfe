"""CFlow-AD."""

from extensions.models.cflow.lightning_model import Cflow

__all__ = ["Cflow"]
