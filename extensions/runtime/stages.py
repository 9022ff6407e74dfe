"""Where the seconds of a process go, by stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import psutil

START = "starting the command"


@dataclass
class Stage:
    """What a stage took, without the stages inside it.

    Attributes:
        seconds: Wall time.
        cpu_seconds: Of all threads of this process.
        n: How often it was entered.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    n: int = 0


class StageClock:
    """Stages of one thread, one inside the other; a second belongs to the innermost one.

    Example:
        with stages.stage("fit"):
            ...
        stages.read()["fit"].seconds
    """

    def __init__(self) -> None:
        self._stages: dict[str, Stage] = {}
        self._open: list[Stage] = []
        self._since = (0.0, 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the block as this stage."""
        self._count()
        found = self._stages.setdefault(name, Stage())
        found.n += 1
        self._open.append(found)
        try:
            yield
        finally:
            self._count()
            self._open.remove(found)

    def started(self) -> None:
        """A command begins: what went before in this process, imports above all, is the first stage."""
        seconds = time.time() - psutil.Process().create_time()
        self._stages = {START: Stage(seconds, time.process_time(), 1)}

    def rows(self) -> list[dict[str, float | str]]:
        """A row of stage, seconds, cpu_seconds and n for each."""
        return [{"stage": name, **asdict(stage)} for name, stage in self.read().items()]

    def read(self) -> dict[str, Stage]:
        """The stages so far, in the order in which they were first entered."""
        self._count()
        return dict(self._stages)

    def _count(self) -> None:
        now = (time.perf_counter(), time.process_time())
        if self._open:
            innermost = self._open[-1]
            innermost.seconds += now[0] - self._since[0]
            innermost.cpu_seconds += now[1] - self._since[1]
        self._since = now


stages = StageClock()
"""Of this process."""
