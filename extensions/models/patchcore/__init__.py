"""PatchCore."""

from extensions.models.patchcore.lightning_model import Patchcore

__all__ = ["Patchcore"]
