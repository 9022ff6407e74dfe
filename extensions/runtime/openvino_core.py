"""The OpenVINO runtime of this process."""

from __future__ import annotations

from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import openvino


_asked = Lock()  # two threads that ask at once would each make one


def openvino_core() -> openvino.Core:
    """The one `openvino.Core` that all of this project uses, alive until the process ends.

    A CPU plugin that is loaded gives signal handlers a stack of its own, and puts the one before back when it is
    unloaded (`SigAltStackSetup`, https://github.com/openvinotoolkit/openvino/pull/11894). Of two cores, the one made
    first and freed first has its stack put back by the other after it is gone: then the next signal with a handler, be
    it Ctrl-C or the end of a subprocess, kills Python (OpenVINO 2026.4, Linux).
    """
    with _asked:
        return _core()


@cache
def _core() -> openvino.Core:
    import openvino

    return openvino.Core()
