"""Backbones that learn from your own images: pretraining, a linear probe, export to the weights folder."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from extensions.self_supervised.images.image_folders import ImageFolders
    from extensions.self_supervised.methods.method import Method
    from extensions.self_supervised.methods.position import RelativePosition
    from extensions.self_supervised.methods.simclr import SimCLR
    from extensions.self_supervised.methods.supervised import Supervised
    from extensions.self_supervised.methods.triplet import Triplet

__all__ = ["ImageFolders", "Method", "RelativePosition", "SimCLR", "Supervised", "Triplet"]

# Imported on first use: torch and timm take seconds, and `--help` must not wait for them.
_MODULES = {
    "Method": "extensions.self_supervised.methods.method",
    "ImageFolders": "extensions.self_supervised.images.image_folders",
    "RelativePosition": "extensions.self_supervised.methods.position",
    "SimCLR": "extensions.self_supervised.methods.simclr",
    "Supervised": "extensions.self_supervised.methods.supervised",
    "Triplet": "extensions.self_supervised.methods.triplet",
}


def __getattr__(name: str) -> Any:
    """Import the export `name` (PEP 562)."""
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg, name=name, obj=import_module(__name__))
    export = getattr(import_module(_MODULES[name]), name)
    globals()[name] = export
    return export
