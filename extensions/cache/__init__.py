"""Work done once: decoded images, features of frozen backbones and memory banks, kept between runs by content."""

from extensions.cache.location import open_cache
from extensions.cache.store import KINDS, WorkCache

__all__ = ["KINDS", "WorkCache", "open_cache"]
