"""Grid -> experiment -> runner -> store -> leaderboard: experiments become one spreadsheet."""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
    "Experiment": "benchmark.experiment",
    "Run": "benchmark.single_run",
    "RunError": "benchmark.single_run",
    "expand": "benchmark.grid",
    "read_augmentation": "benchmark.interactive",
    "read_leaderboard": "benchmark.interactive",
    "record_run": "benchmark.interactive",
    "refine": "benchmark.interactive",
    "run": "benchmark.interactive",
    "run_experiment": "benchmark.runner",
    "run_sweep": "benchmark.sweep",
    "write_tables": "benchmark.tables",
}

__all__ = list(_EXPORTS)


def __getattr__(name: str) -> Any:
    """Import on first use: `--help` must not wait for torch."""
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    msg = f"module 'benchmark' has no attribute {name!r}"
    raise AttributeError(msg)
