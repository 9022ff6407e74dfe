"""Plug-ins for anomalib: models, backbones and data, importable flat (`extensions.Patchcore` works as class_path)."""

import importlib
import warnings

from extensions import models
from extensions.data import datamodules

# Imported on first use: torch and anomalib take seconds, and `--help` must not wait for them.
_ROOMS = {
    **dict.fromkeys(models.__all__, "extensions.models"),
    **dict.fromkeys(datamodules.__all__, "extensions.data.datamodules"),
    "Augmentation": "extensions.transforms",
    # A callback like the others to whoever uses it, and a run of the benchmark to whoever reads what it leaves: so it
    # lives there, and is named here alone, for no module of this package may import the benchmark.
    "Record": "benchmark.api.recording",
}
__all__ = sorted([*_ROOMS, "load"])


def load() -> None:
    """Import every export, so that anomalib's CLI also knows the classes by their short names."""
    for name in _ROOMS:
        __getattr__(name)


def __getattr__(name: str) -> object:
    """Import the export `name` (PEP 562) after our backbones have become timm names."""
    if name not in _ROOMS:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg, name=name, obj=importlib.import_module(__name__))
    with warnings.catch_warnings():  # what anomalib and timm deprecate among themselves, nobody here can change
        warnings.simplefilter("ignore")
        importlib.import_module("extensions.backbones").register()
        export = getattr(importlib.import_module(_ROOMS[name]), name)
    globals()[name] = export
    return export


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
