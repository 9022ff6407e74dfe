"""How long a search may take: `90s`, `20m`, `1h30m`."""

from __future__ import annotations

import re

from extensions.configuration import ConfigError

_TEXT = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


def parse_budget(text: str) -> float:
    """Seconds of wall time.

    Raises:
        ConfigError: It is no time, or none at all.
    """
    match = _TEXT.fullmatch(text.strip().lower())
    hours, minutes, seconds = (float(part or 0) for part in match.groups()) if match else (0.0, 0.0, 0.0)
    total = 3600 * hours + 60 * minutes + seconds
    if not total:
        msg = f"--budget: found {text!r}, expected a time with its unit such as 90s, 20m or 1h30m"
        raise ConfigError(msg)
    return total


def told_seconds(seconds: float) -> str:
    """Such as `42 s`, `3.5 min` or `1.2 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
