"""What a number depends on beside the experiment: machine, versions, commit, and what else the machine does."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import psutil

from extensions.runtime.processor import processor_name

PACKAGES = ("anomaly-workbench", "anomalib", "torch", "torchvision", "timm", "lightning", "numpy", "scikit-learn")
BUSY = 0.15  # share of the cores that others may use
UNSTEADY = 0.25  # by how much the same work may take longer
WORK = (320, 12)  # side of a matrix and how often it is multiplied: some milliseconds


@functools.cache
def environment() -> dict[str, str | int]:
    """Facts for a record: python, package versions, cpu, n_threads, device, commit, platform."""
    import torch

    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "cpu": processor_name(),
        "n_cores": os.cpu_count() or 1,
        "n_threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "commit": commit(),
        "platform": platform.platform(terse=True),
    }


def commit() -> str:
    """Commit of the checkout, `+` appended when tracked files differ from it; empty outside a checkout."""
    folder = Path(__file__).parent
    head = _git(folder, "rev-parse", "--short=12", "HEAD")
    return head + "+" if head and _git(folder, "status", "--porcelain", "--untracked-files=no") else head


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


@dataclass
class MachineLoad:
    """Watches other processes and the machine's own speed.

    Attributes:
        others: Cores that other processes used between looks.
        work_ms: How long the same piece of work took at each look.
    """

    others: list[float] = field(default_factory=list)
    work_ms: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._last = _used()

    def look(self) -> None:
        """Note what happened since the last look."""
        now = _used()
        seconds = now[0] - self._last[0]
        if seconds > 0:
            self.others.append(max(0.0, (now[1] - self._last[1]) - (now[2] - self._last[2])) / seconds)
        self._last = now

    def work(self) -> None:
        """Time the piece of work."""
        import torch

        side, repeats = WORK
        matrix = torch.ones(side, side)
        started = time.perf_counter()
        for _ in range(repeats):
            matrix @ matrix
        self.work_ms.append((time.perf_counter() - started) * 1000)

    @property
    def note(self) -> str:
        """A sentence about a busy machine; empty for a quiet one."""
        others = float(np.mean(self.others)) if self.others else 0.0
        spread = float(np.percentile(self.work_ms, 90) / np.median(self.work_ms)) - 1 if self.work_ms else 0.0
        return busy_note(others, spread, n_cores=os.cpu_count() or 1)


def busy_note(others: float, spread: float, *, n_cores: int) -> str:
    """What a reader should know of the machine; empty when it was quiet.

    Args:
        others: Cores that other processes used.
        spread: By how much the same work took longer at times, as a part of its usual time.
        n_cores: Of the machine.
    """
    found = []
    if others > BUSY * n_cores:
        found.append(f"other processes used {others:.1f} of {n_cores} cores")
    if spread > UNSTEADY:
        found.append(f"the same work took up to {spread:.0%} longer at times")
    return f"measured while {' and '.join(found)}" if found else ""


def _used() -> tuple[float, float, float]:
    """Now, and the seconds of CPU time that all processes and this one (with its children) have used."""
    times = psutil.cpu_times()
    busy = sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal"))
    own = 0.0
    process = psutil.Process()
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.Error):
            spent = one.cpu_times()
            own += spent.user + spent.system
    return time.perf_counter(), busy, own
