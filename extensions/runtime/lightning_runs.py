"""Around a run of Lightning's Trainer: it prints nothing, and Ctrl-C ends it like any other program."""

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from extensions.runtime.quiet import is_debugging


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C stop the sweep: Lightning turns it into `SystemExit` and ignores every further one."""
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if is_main and handler is not None:
            signal.signal(signal.SIGINT, handler)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what Lightning and anomalib print for every run; errors still raise. Not where all is to be shown."""
    if is_debugging():
        yield
        return
    lightning = ("lightning", "lightning.pytorch", "lightning_fabric", "lightning.fabric")
    names = ("anomalib", *lightning, *(f"{name}.utilities.rank_zero" for name in lightning))
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
