"""Memory that was freed, handed back to the system."""

import ctypes
import sys


def give_back_memory() -> None:
    """Return what is free inside the process to the system, as glibc does by itself at the end of its heap only.

    It takes some ms, so it belongs between the stages of a run. Elsewhere than on Linux nothing is done.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)
