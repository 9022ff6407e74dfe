"""anomalib's command line with our plug-ins known, the seed honored and errors in one sentence."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
