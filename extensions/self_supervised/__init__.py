"""Backbones that learn from your own images: pretraining, a linear probe, export to the weights folder."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
