"""Data sets on disk as anomalib's datamodules; a line of `__init__.pyi` makes one `extensions.<Name>`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
