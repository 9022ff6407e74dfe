"""The processor of this machine."""

import platform
from pathlib import Path


def processor_name() -> str:
    """Model name of the processor, as the operating system tells it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
