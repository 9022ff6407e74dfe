"""Named augmentations of images, before training, in tests, or over several views of a test image."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
