"""Grid -> experiment -> runner -> store -> leaderboard: experiments become one spreadsheet."""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
    "Experiment": "benchmark.plan.experiment",
    "Run": "benchmark.api.run_object",
    "RunError": "benchmark.api.run_object",
    "expand": "benchmark.plan.grid",
    "read_augmentation": "benchmark.api.output_tables",
    "read_leaderboard": "benchmark.api.output_tables",
    "record_run": "benchmark.api.interactive",
    "refine": "benchmark.api.interactive",
    "run": "benchmark.api.interactive",
    "run_experiment": "benchmark.one_run.runner",
    "run_sweep": "benchmark.execute.sweep",
    "write_tables": "benchmark.api.output_tables",
}

__all__ = list(_EXPORTS)


def __getattr__(name: str) -> Any:
    """Import on first use: `--help` must not wait for torch."""
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    msg = f"module 'benchmark' has no attribute {name!r}"
    raise AttributeError(msg)
