"""anomalib's command line with our plug-ins known, the seed honored and errors in one sentence."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from extensions.cli.command import SUBCOMMANDS, UsageError, WorkbenchCLI

__all__ = ["SUBCOMMANDS", "UsageError", "WorkbenchCLI"]


def __getattr__(name: str) -> Any:
    """Import on first use: help must not wait for torch."""
    if name in __all__:
        return getattr(importlib.import_module("extensions.cli.command"), name)
    msg = f"module 'extensions.cli' has no attribute {name!r}"
    raise AttributeError(msg)
