"""Anomaly detectors: anomalib's models with backbones by name and checkpoints that reload offline.

A line of `__init__.pyi` makes a model `extensions.<Name>`; it is imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
