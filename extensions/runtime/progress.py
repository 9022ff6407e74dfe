"""How work in progress is shown: bars where somebody watches, elsewhere a plain line now and then."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
EVERY_S = 30.0  # s between two plain lines of one piece of work


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook; that the package of kernels is imported says nothing."""
    ipython = sys.modules.get("IPython")
    return hasattr(getattr(ipython, "get_ipython", lambda: None)(), "kernel")


def is_watched() -> bool:
    """Whether bars can be drawn: standard error is a terminal, or this is a notebook."""
    return sys.stderr.isatty() or is_notebook()


def draws_on_stdout() -> bool:
    """Whether libraries that draw their bars on standard output, such as rich, can do so."""
    return is_watched() and (sys.stdout.isatty() or is_notebook())


@contextmanager
def drawn_only_where_watched() -> Iterator[None]:
    """Around a library's work that cannot be told to draw no bars: where nobody watches, what it prints is dropped."""
    with nullcontext() if draws_on_stdout() else redirect_stdout(io.StringIO()):
        yield


def progress_bar(
    work: Iterable[Item] | None = None,
    *,
    title: str,
    unit: str,
    total: int | None = None,
    hidden: bool = False,
    **arguments: Any,
) -> Any:
    """A tqdm bar, or off a terminal an object with its `update`, `close`, `n` and `set_description` that writes lines.

    Args:
        work: What to go through; without it `update` counts.
        title: What is done.
        unit: What is counted, in the singular.
        total: Number of units; None for as many as `work` has, if it knows.
        hidden: Whether to show nothing at all.
        arguments: Further ones of tqdm; a bar appears after two seconds (`delay`) and goes when it is full (`leave`).
    """
    if not hidden and not is_watched():
        return PlainLines(work, title=title, unit=unit, total=total)
    from tqdm.auto import tqdm

    return tqdm(work, total=total, desc=title, unit=unit, disable=hidden, **({"delay": 2, "leave": False} | arguments))


def finished_step(text: str) -> None:
    """Say in one line that a step is done, where no bar shows it."""
    if not is_watched():
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def say(text: str) -> None:
    """Print a line on standard output at once, above any bar."""
    if is_watched():
        from tqdm.auto import tqdm

        tqdm.write(text)
    else:
        sys.stdout.write(f"{text}\n")
    sys.stdout.flush()  # a log shows it when it is true


class PlainLines(Generic[Item]):
    """Stands for a bar in a log: one line every half minute, none for work that is done sooner.

    Args:
        work: What to go through.
        title: What is done.
        unit: What is counted, in the singular.
        total: Number of units.
        clock: Seconds.

    Attributes:
        n: Units done.
    """

    def __init__(
        self,
        work: Iterable[Item] | None = None,
        *,
        title: str,
        unit: str,
        total: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work, self._title, self._unit, self._clock = work, title.strip(), unit, clock
        if total is None and isinstance(work, Sized):
            total = len(work)
        self.total, self.n = total, 0
        self._started = self._told = clock()

    def update(self, n: float = 1) -> None:
        """Count `n` more, and say so when it is time."""
        self.n += int(n)
        now = self._clock()
        if now - self._told < EVERY_S:
            return
        self._told = now
        of = f" of {self.total}" if self.total else ""
        many = self._unit if self.n == 1 and not of else f"{self._unit}{'es' if self._unit.endswith('ch') else 's'}"
        finished_step(f"{self._title}: {self.n}{of} {many} in {now - self._started:.0f} s")

    def set_description(self, title: str) -> None:
        """Name what is done now."""
        self._title = title.strip()

    def refresh(self) -> None:
        """Nothing: a line that is written stays."""

    def close(self) -> None:
        """Nothing: what was done is told by whoever asked for it."""

    def __iter__(self) -> Iterator[Item]:
        assert self._work is not None
        for item in self._work:
            yield item
            self.update()

    def __enter__(self) -> PlainLines[Item]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
