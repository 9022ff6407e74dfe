"""Named augmentations of images, before training, in tests, or over several views of a test image."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from extensions.transforms.settings import MERGES, NAMES, WHERE, AugmentationSettings, read_augmentation

if TYPE_CHECKING:
    from extensions.transforms.callback import Augmentation
    from extensions.transforms.named import augmentation

__all__ = [
    "MERGES",
    "NAMES",
    "WHERE",
    "Augmentation",
    "AugmentationSettings",
    "augmentation",
    "read_augmentation",
]

# Imported on first use: torch and torchvision take seconds, and `--help` must not wait for them.
_MODULES = {"Augmentation": "extensions.transforms.callback", "augmentation": "extensions.transforms.named"}


def __getattr__(name: str) -> Any:
    """Import the export `name` (PEP 562)."""
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg, name=name, obj=import_module(__name__))
    export = getattr(import_module(_MODULES[name]), name)
    globals()[name] = export
    return export
