"""What a number depends on beside the experiment: machine, versions, commit."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from extensions.runtime.processor import processor_name

PACKAGES = ("anomaly-workbench", "anomalib", "torch", "torchvision", "timm", "lightning", "numpy", "scikit-learn")


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
