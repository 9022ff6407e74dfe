"""Plug-ins for anomalib: models, backbones and data, importable flat (`extensions.Patchcore` works as class_path)."""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from extensions.data import (
        ContaminatedElpv,
        ContaminatedFolder,
        ContaminatedMVTecAD,
        Elpv,
        ElpvSynthetic,
        Folder,
        MVTecAD,
    )
    from extensions.models import (
        AutoencoderOcSvm,
        BackboneOcSvm,
        Cflow,
        ContrastiveStfpm,
        ConvAutoencoder,
        Fastflow,
        Padim,
        Patchcore,
        ReconstructionStrip,
        ReverseDistillation,
        Stfpm,
    )
    from extensions.transforms import Augmentation

__all__ = [
    "Augmentation",
    "AutoencoderOcSvm",
    "BackboneOcSvm",
    "Cflow",
    "ContaminatedElpv",
    "ContaminatedFolder",
    "ContaminatedMVTecAD",
    "ContrastiveStfpm",
    "ConvAutoencoder",
    "Elpv",
    "ElpvSynthetic",
    "Fastflow",
    "Folder",
    "MVTecAD",
    "Padim",
    "Patchcore",
    "ReconstructionStrip",
    "Record",
    "ReverseDistillation",
    "Stfpm",
    "load",
]

# Imported on first use: torch and anomalib take seconds, and `--help` must not wait for them.
_MODULES = {
    "AutoencoderOcSvm": "extensions.models",
    "BackboneOcSvm": "extensions.models",
    "Cflow": "extensions.models",
    "ContrastiveStfpm": "extensions.models",
    "ConvAutoencoder": "extensions.models",
    "Fastflow": "extensions.models",
    "Padim": "extensions.models",
    "Patchcore": "extensions.models",
    "ReconstructionStrip": "extensions.models",
    "ReverseDistillation": "extensions.models",
    "Stfpm": "extensions.models",
    "ContaminatedElpv": "extensions.data",
    "ContaminatedFolder": "extensions.data",
    "ContaminatedMVTecAD": "extensions.data",
    "Elpv": "extensions.data",
    "ElpvSynthetic": "extensions.data",
    "Folder": "extensions.data",
    "MVTecAD": "extensions.data",
    "Augmentation": "extensions.transforms",
    # A callback like the others to whoever uses it, and a run of the benchmark to whoever reads what it leaves: so it
    # lives there, and is named here alone, for no module of this package may import the benchmark.
    "Record": "benchmark.api.recording",
}


def load() -> None:
    """Import every export, so that anomalib's CLI also knows the classes by their short names."""
    for name in _MODULES:
        __getattr__(name)


def __getattr__(name: str) -> Any:
    """Import the export `name` (PEP 562) after our backbones have become timm names."""
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg, name=name, obj=import_module(__name__))
    with warnings.catch_warnings():  # what anomalib and timm deprecate among themselves, nobody here can change
        warnings.simplefilter("ignore")
        import_module("extensions.backbones").register()
        export = getattr(import_module(_MODULES[name]), name)
    globals()[name] = export
    return export


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
